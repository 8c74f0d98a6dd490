"""The compiled functions of an optimization: features, and the loss with its gradient.

They are traced once for each size of patch. The loss is linear in its weights, so its gradient
with respect to the weights is the terms, for nothing.

A tile cannot know the Gram matrices of the whole image, of which its own are a part. Its style
loss is therefore the linear form ``sum(sensitivity * gram)``, whose gradient is that of the whole
image's style loss, if `sensitivity` is the loss's derivative at the whole image's Gram
matrices: no tile has a style of its own, nothing shifts from one to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnkit import runtime
from cnnkit.style.features import LossNetwork

Arrays = dict[str, np.ndarray]


class Steps:
    """The compiled functions of one loss network.

    Attributes:
        network: The loss network.
    """

    def __init__(self, network: LossNetwork) -> None:
        """Prepare them; nothing is compiled before its first call."""
        self.network = network
        self._sizes: dict[tuple[int, ...], dict[str, tuple[int, int]]] = {}
        self._content = runtime.compile(network.content_model)
        self._grams = runtime.compile(self._grams_of)
        self._whole = runtime.value_and_gradient(self._whole_loss)
        self._tile = runtime.value_and_gradient(self._tile_loss)

    def layer_size(self, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return (height, width) of a layer's features for pixels of that shape."""
        if shape not in self._sizes:
            found = self.network.model.compute_output_shape(shape)
            self._sizes[shape] = {layer: tuple(s[1:3]) for layer, s in found.items()}
        return self._sizes[shape][name]

    def content(self, patch: np.ndarray) -> Arrays:
        """Return the content layers' features of pixels, float32 (1, height, width, 3)."""
        found = self._content(patch)
        return {name: np.asarray(found[name]) for name in self.network.recipe.content}

    def grams(self, patch: np.ndarray, shares: Arrays) -> Arrays:
        """Return the style layers' Gram matrices of pixels, each (1, channels, channels)."""
        return {name: np.asarray(gram) for name, gram in self._grams(patch, shares).items()}

    def whole(
        self,
        patch: np.ndarray,
        content: Mapping[str, Arrays],
        style: Mapping[str, Arrays],
        weights: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss's gradient and terms of a whole image.

        Args:
            patch: Float32 (1, height, width, 3), 0 to 255.
            content: `content_target` of the content at the same place.
            style: The style's Gram matrices, with ``shares`` where positions differ.
            weights: Weights of content, style and total variation, float32 (3,).

        Returns:
            The gradient (height, width, 3), and the three terms, float32 (3,).
        """
        _, gradient = self._whole({"pixels": patch, "weights": weights}, content, style)
        return np.array(gradient["pixels"])[0], np.asarray(gradient["weights"])

    def tile(
        self,
        patch: np.ndarray,
        content: dict[str, Any],
        shares: Arrays,
        sensitivity: Arrays,
        weights: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a tile's part of the gradient, and of the terms; that of the style is none.

        Args:
            patch: Float32 (1, height, width, 3), 0 to 255.
            content: `content_target` of the content's tile.
            shares: How much each position counts in the image, for every layer, and
                ``pixels``; the tile's core only.
            sensitivity: The style loss's derivative at the image's Gram matrices.
            weights: Weights of content, style and total variation, float32 (3,).
        """
        first = {"pixels": patch, "weights": weights}
        _, gradient = self._tile(first, content, shares, sensitivity)
        return np.array(gradient["pixels"])[0], np.asarray(gradient["weights"])

    def _grams_of(self, patch: Any, shares: Any) -> dict[str, Any]:
        from cnnkit.losses.style import gram_matrix

        features = self.network.model(patch)
        return {
            name: gram_matrix(features[name], shares.get(name))
            for name in self.network.recipe.style
        }

    def _whole_loss(self, first: Any, content: Any, style: Any) -> Any:
        from keras import ops

        from cnnkit.losses.style import content_loss, gram_matrix, style_loss, total_variation

        recipe, pixels, weights = self.network.recipe, first["pixels"], first["weights"]
        features = self.network.model(pixels)
        kept = sum(
            weight * content_loss(features[name], content["features"][name], content["scale"][name])
            for name, weight in recipe.content.items()
        )
        shares = style.get("shares", {})
        taken = sum(
            weight * style_loss(gram_matrix(features[name], shares.get(name)), style["grams"][name])
            for name, weight in recipe.style.items()
        )
        rough = total_variation(pixels / 255.0)
        return ops.sum(weights[0] * kept + weights[1] * taken + weights[2] * rough)

    def _tile_loss(self, first: Any, content: Any, shares: Any, sensitivity: Any) -> Any:
        from keras import ops

        from cnnkit.losses.style import gram_matrix

        recipe, pixels, weights = self.network.recipe, first["pixels"], first["weights"]
        features = self.network.model(pixels)
        kept = sum(
            weight
            * ops.sum(
                content["shares"][name]
                * ops.mean(
                    ops.square(features[name] - content["features"][name]), axis=-1, keepdims=True
                )
            )
            / content["scale"][name][0]
            for name, weight in recipe.content.items()
        )
        taken = sum(
            ops.sum(sensitivity[name] * gram_matrix(features[name], shares[name]))
            for name in recipe.style
        )
        rough = _shared_variation(pixels / 255.0, shares["pixels"])
        return weights[0] * kept + weights[1] * taken + weights[2] * rough


def _shared_variation(pixels: Any, shares: Any) -> Any:
    """Return the total variation where each pixel counts by its share."""
    from keras import ops

    down = ops.square(pixels[:, 1:, :-1, :] - pixels[:, :-1, :-1, :])
    right = ops.square(pixels[:, :-1, 1:, :] - pixels[:, :-1, :-1, :])
    return ops.sum(shares[:, :-1, :-1, :] * ops.mean(down + right, axis=-1, keepdims=True))
