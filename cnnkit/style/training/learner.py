"""The compiled step of training a network for one style, without a backend's name in it.

Everything that a step changes is in its state, arrays that go in and come out, so that a run can
be written down and resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnkit import runtime
from cnnkit.runtime.processes import current_group
from cnnkit.style.features import LossNetwork

# The loss network pads with zeros, which no image has beside it: mirrored pixels instead.
BORDER = 16
MEAN_DECAY, SQUARE_DECAY = 0.9, 0.999
LONGEST_GRADIENT = 10.0


class LossWeights(NamedTuple):
    """The weights of the three losses."""

    content: float
    style: float
    variation: float


class PainterState(NamedTuple):
    """Every number that a step changes, each array float32 (parameters,).

    Attributes:
        weights: Weights of the network, one variable after the other.
        mean: Adam's running mean of the gradient.
        square: Adam's running mean of its square.
    """

    weights: Any
    mean: Any
    square: Any


class Learner:
    """Trains a network that paints to please a loss network (Johnson et al.)."""

    def __init__(
        self,
        model: Any,
        network: LossNetwork,
        grams: Mapping[str, np.ndarray],
        losses: LossWeights,
    ) -> None:
        """Prepare the step; nothing is compiled before the first.

        Args:
            model: From RGB 0 to 255 to RGB 0 to 255; its variables are the start.
            network: The loss network.
            grams: The style's Gram matrix of each style layer, (1, channels, channels).
            losses: The weights of the losses.
        """
        self._model = model
        self._network = network
        self._grams = {name: np.asarray(gram, np.float32) for name, gram in grams.items()}
        self._losses = np.asarray(losses, np.float32)
        self._group = current_group()
        self._fixed = [np.asarray(v) for v in model.non_trainable_variables]
        self._step = runtime.compile(self._one_step)
        self._gradient = runtime.value_and_gradient(self._loss)
        self._terms = runtime.compile(self._terms_of)

    def start(self) -> PainterState:
        """Return the state before the first step: the network as it is."""
        weights = np.concatenate([np.ravel(v) for v in self._model.trainable_variables])
        return PainterState(weights, np.zeros_like(weights), np.zeros_like(weights))

    def step(
        self, state: PainterState, photos: np.ndarray, rate: float, number: int
    ) -> tuple[PainterState, np.ndarray]:
        """Return the next state, and the terms of the loss before it.

        Args:
            state: Now.
            photos: uint8 (batch, height, width, 3); of several processes, this one's share.
            rate: The learning rate.
            number: Number of the step, from 1.

        Returns:
            The state, and content, style and variation, float32 (3,).
        """
        corrected = rate * np.sqrt(1 - SQUARE_DECAY**number) / (1 - MEAN_DECAY**number)
        pixels = self._group.spread(photos.astype(np.float32))
        after, terms = self._step(state, pixels, np.float32(corrected))
        return PainterState(*after), np.asarray(terms)

    def terms(self, state: PainterState, photos: np.ndarray) -> np.ndarray:
        """Return content, style and variation of photos, float32 (3,), without learning."""
        return np.asarray(self._terms(state.weights, photos.astype(np.float32)))

    def put_into_model(self, state: PainterState) -> None:
        """Give the network the weights of a state."""
        pieces = self._pieces(np.asarray(state.weights))
        for variable, value in zip(self._model.trainable_variables, pieces, strict=True):
            variable.assign(value)

    def _pieces(self, weights: Any) -> list[Any]:
        """Return the variables' values out of the one array."""
        from keras import ops

        pieces, start = [], 0
        for variable in self._model.trainable_variables:
            size = int(np.prod(variable.shape))
            pieces.append(ops.reshape(weights[start : start + size], variable.shape))
            start += size
        return pieces

    def _one_step(self, state: Any, photos: Any, rate: Any) -> tuple[Any, Any]:
        """Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980), the gradient's length bounded."""
        from keras import ops

        weights, mean, square = state
        _, found = self._gradient({"weights": weights, "losses": self._losses}, photos)
        gradient = found["weights"]
        length = ops.sqrt(ops.sum(ops.square(gradient)))
        gradient = gradient * ops.minimum(1.0, LONGEST_GRADIENT / (length + 1e-12))
        mean = MEAN_DECAY * mean + (1 - MEAN_DECAY) * gradient
        square = SQUARE_DECAY * square + (1 - SQUARE_DECAY) * ops.square(gradient)
        weights = weights - rate * mean / (ops.sqrt(square) + 1e-8)
        # The loss is linear in its weights: the gradient with respect to them is its terms.
        return (weights, mean, square), found["losses"]

    def _loss(self, first: Any, photos: Any) -> Any:
        from keras import ops

        return ops.sum(first["losses"] * self._terms_of(first["weights"], photos))

    def _terms_of(self, weights: Any, photos: Any) -> Any:
        """Return content, style and variation of what the network paints, (3,)."""
        from keras import ops

        from cnnkit.losses.style import content_loss, gram_matrix, style_loss, total_variation

        painted, _ = self._model.stateless_call(self._pieces(weights), self._fixed, photos)
        recipe = self._network.recipe
        around = [(0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)]
        ours = self._network.model(ops.pad(painted, around, mode="reflect"))
        photo = self._network.model(ops.pad(photos, around, mode="reflect"))
        kept = sum(
            weight * content_loss(ours[name], photo[name])
            for name, weight in recipe.content.items()
        )
        taken = sum(
            weight * style_loss(gram_matrix(ours[name]), self._grams[name])
            for name, weight in recipe.style.items()
        )
        rough = total_variation(painted / 255.0)
        return ops.stack([ops.mean(kept), ops.mean(taken), ops.mean(rough)])
