"""The methods: each gives, for a batch of images, the scores and where they come from.

A method is a predictor (`cnnkit.runtime.Predictor`) whose outputs are ``scores``, the model's own,
and ``heat``, float32 (rows, columns), not scaled.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule, did_you_mean, requires
from cnnkit.explanation import networks
from cnnkit.explanation.graph import trace
from cnnkit.explanation.head import find_head
from cnnkit.explanation.occlusion import occluded_heat
from cnnkit.explanation.target import Target
from cnnkit.runtime import (
    Predictor,
    RuntimeOptions,
    building_defaults,
    import_keras,
    predictor,
    value_and_gradient,
)

METHODS = ("grad-cam", "grad-cam++", "gradients", "smoothgrad", "occlusion", "sliding")
BY_LAYER = ("grad-cam", "grad-cam++")
GRADIENT_BATCH = 8
# Smilkov et al., "SmoothGrad: removing noise by adding noise", https://arxiv.org/abs/1706.03825:
# noise of 10 to 20 % of the pixels' range; beyond 50 samples little changes.
SMOOTH_SAMPLES = 25
SMOOTH_NOISE = 0.15


def check_method(method: str, layer: str | None) -> None:
    """Refuse a method that does not exist, and a layer for one that looks at none.

    Raises:
        UsageError: One of the two.
    """
    if method not in METHODS:
        fix = did_you_mean(method, METHODS)
        raise UsageError(broken_rule("`method`", f"be one of {', '.join(METHODS)}", method, fix))
    if layer is not None and method not in BY_LAYER:
        raise UsageError(requires("`layer`", f"`method` {' or '.join(BY_LAYER)}"))


def method_predictor(
    bundle: Bundle,
    method: str,
    target: Target,
    layer: str | None,
    options: RuntimeOptions,
    batch_size: int | None,
    expected: int | None,
) -> Predictor:
    """Return a method, ready to run on one model; ``sliding`` is not among them."""
    if method == "occlusion":
        compiled = predictor(bundle.source(), options, batch_size=batch_size, expected=None)
        return OcclusionMethod(bundle, target, compiled)
    if method == "grad-cam" and layer is None:
        compiled = predictor(
            networks.source(bundle, {"kind": "class-maps"}),
            options,
            batch_size=batch_size,
            expected=expected,
        )
        if has_maps(bundle, compiled):
            return ClassMapMethod(bundle, target, compiled)
    kind = GradientMethod if method in BY_LAYER else PixelMethod
    return kind(bundle, target, method, layer, batch_size or GRADIENT_BATCH)


def has_maps(bundle: Bundle, compiled: Predictor) -> bool:
    """Return whether a network gives class maps: known only when it has run once."""
    spec = bundle.card.input
    return "maps" in compiled.predict(np.zeros((1, spec.height, spec.width, 3), np.uint8))


class _Wrapped:
    """What a method takes over from the predictor that it runs."""

    def __init__(self, bundle: Bundle, target: Target, compiled: Predictor) -> None:
        """Explain a class of a model by what a compiled network of it gives."""
        self._bundle, self._target, self._compiled = bundle, target, compiled
        self.runtime, self.precision = compiled.runtime, compiled.precision
        self.device, self.batch_size = compiled.device, compiled.batch_size
        self.concurrency = compiled.concurrency

    def _classes(self, scores: np.ndarray) -> list[int]:
        return [self._target.of(self._bundle.probabilities(row)) for row in scores]


class ClassMapMethod(_Wrapped):
    """Grad-CAM of a pooled linear head, without a gradient: the class activation map.

    There the gradient of a class's score by the features is the class's weights over the number
    of places, everywhere alike.
    """

    layer = None

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `cnnkit.runtime.Predictor.predict`."""
        outputs = self._compiled.predict(images)
        maps, scores = outputs["maps"], outputs["scores"]  # (n, rows, columns, classes)
        heat = np.stack([one[..., c] for one, c in zip(maps, self._classes(scores), strict=True)])
        return {"scores": scores, "heat": np.maximum(heat, 0) / (maps.shape[1] * maps.shape[2])}


class OcclusionMethod(_Wrapped):
    """How much the class's probability drops where a gray patch hides the image."""

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `cnnkit.runtime.Predictor.predict`."""
        scores = self._compiled.predict(images)["scores"]
        heats = []
        for image, index in zip(images, self._classes(scores), strict=True):
            heats.append(occluded_heat(image, partial(self._probability, index=index)))
        return {"scores": scores, "heat": np.stack(heats)}

    def _probability(self, batch: np.ndarray, index: int) -> np.ndarray:
        scores = self._compiled.predict(batch)["scores"]
        return np.array([self._bundle.probabilities(row)[index] for row in scores])


class _Gradient(ABC):
    """What the methods share that take a gradient through Keras."""

    runtime, precision, concurrency = "keras", "float32", 1

    def __init__(
        self, bundle: Bundle, target: Target, method: str, layer: str | None, batch_size: int
    ) -> None:
        """Build the network and what takes its gradient.

        Args:
            bundle: A classifier.
            target: The class.
            method: One of `METHODS`.
            layer: For one of `BY_LAYER`: its name; None: the last one with places.
            batch_size: Images of a call; fewer are padded.
        """
        self.device, self.batch_size = "cpu", batch_size
        self._bundle, self._target, self._method = bundle, target, method
        self._classes = len(bundle.labels)
        self._lock = threading.Lock()
        with building_defaults() as keras:
            self._prepare(keras, bundle.build(), layer)

    @abstractmethod
    def _prepare(self, keras: Any, model: Any, layer: str | None) -> None:
        """Make what `_heats` needs."""

    @abstractmethod
    def _heats(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (n, ...) and heat (n, rows, columns) of a full batch, float32."""

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `cnnkit.runtime.Predictor.predict`; every batch has the same size, padded."""
        scores, heats = [], []
        for start in range(0, len(images), self.batch_size):
            part = images[start : start + self.batch_size].astype(np.float32)
            padding = [(0, self.batch_size - len(part)), (0, 0), (0, 0), (0, 0)]
            with self._lock:
                some, heat = self._heats(np.pad(part, padding))
            scores.append(some[: len(part)])
            heats.append(heat[: len(part)])
        return {"scores": np.concatenate(scores), "heat": np.concatenate(heats)}

    def _total(self, logits: Any) -> Any:
        """Return the sum over the images of the explained class's logit, a scalar tensor."""
        ops = import_keras().ops
        if logits.shape[-1] == 1:  # one number: the second class against the first
            logits = ops.concatenate([-logits, logits], axis=-1)
        index = self._target.index
        # A class by its number is one for the whole batch.
        chosen = ops.argmax(logits, axis=-1) if index is None else index
        return ops.sum(logits * ops.one_hot(chosen, logits.shape[-1], dtype=logits.dtype))


class GradientMethod(_Gradient):
    """Grad-CAM and Grad-CAM++ at any layer of any network.

    Selvaraju et al., https://arxiv.org/abs/1610.02391: every channel weighs the mean of its
    gradient. Chattopadhyay et al., https://arxiv.org/abs/1710.11063, equations 10 and 19: the
    places of a channel weigh differently, by the second and third derivative of exp(score).
    """

    def _prepare(self, keras: Any, model: Any, layer: str | None) -> None:
        changed, _, _ = networks.perturbed(keras, model, self._bundle.card.input.size, layer)
        shape = (self.batch_size, *changed.inputs[1].shape[1:])
        self._zeros = np.zeros(shape, np.float32)

        def objective(addition: Any, images: Any) -> tuple[Any, dict[str, Any]]:
            outputs = changed([images, addition], training=False)
            return self._total(outputs["logits"]), outputs

        self._run = value_and_gradient(objective, auxiliary=True)

    def _heats(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (_, outputs), gradient = self._run(self._zeros, images)
        activation, gradient = np.asarray(outputs["activation"]), np.asarray(gradient)
        weigh = plus_plus_weights if self._method == "grad-cam++" else channel_weights
        weights = weigh(activation, gradient)  # (n, channels)
        heat = np.einsum("nhwc,nc->nhw", activation, weights)
        return np.asarray(outputs["scores"]), np.maximum(heat, 0)


def channel_weights(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return Grad-CAM's weights, (n, channels): the mean of each channel's gradient.

    Args:
        activation: Float (n, height, width, channels).
        gradient: Gradient of the score by it, same shape.
    """
    return gradient.mean(axis=(1, 2))


def plus_plus_weights(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return Grad-CAM++'s weights, (n, channels).

    Args:
        activation: Float (n, height, width, channels).
        gradient: Gradient of the score by it, same shape.
    """
    total = activation.sum(axis=(1, 2), keepdims=True)
    below = 2 * gradient**2 + total * gradient**3
    share = np.where(gradient != 0, gradient**2 / np.where(below != 0, below, 1), 0)
    return (share * np.maximum(gradient, 0)).sum(axis=(1, 2))


class PixelMethod(_Gradient):
    """Plain gradients and SmoothGrad: how much the score moves with every pixel.

    Simonyan, Vedaldi and Zisserman, https://arxiv.org/abs/1312.6034: the largest absolute
    gradient among the three colors. SmoothGrad: of the mean gradient under noise.
    """

    def _prepare(self, keras: Any, model: Any, layer: str | None) -> None:
        graph = trace(keras, model, self._bundle.card.input.size)
        head = find_head(keras, graph)
        outputs = {
            "scores": graph.output,
            "logits": networks.as_float(keras, head.logits, "logits"),
        }
        whole = keras.Model(graph.image, outputs)

        def objective(images: Any) -> tuple[Any, Any]:
            found = whole(images, training=False)
            return self._total(found["logits"]), found["scores"]

        self._run = value_and_gradient(objective, auxiliary=True)

    def _heats(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (_, scores), gradient = self._run(images)
        gradient = np.asarray(gradient)
        if self._method == "smoothgrad":
            gradient = self._smooth(images)
        return np.asarray(scores), np.abs(gradient).max(axis=-1)

    def _smooth(self, images: np.ndarray) -> np.ndarray:
        span = np.ptp(images, axis=(1, 2, 3), keepdims=True)
        # The same noise for every image: the result does not depend on its neighbors.
        random = np.random.default_rng(0)
        total = np.zeros_like(images)
        for _ in range(SMOOTH_SAMPLES):
            noise = random.standard_normal(images.shape[1:], np.float32)
            total += np.asarray(self._run(images + SMOOTH_NOISE * span * noise)[1])
        return total / SMOOTH_SAMPLES
