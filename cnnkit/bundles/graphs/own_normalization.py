"""How a graph normalizes pixels by its own first operations, so that it is not done twice.

Exports of Keras hold a Rescaling or a Normalization, files of OpenVINO the mean and scale values
of their conversion: such a graph takes pixels from 0 to 255 as they are. What is read here are
sums and products with constants in front of everything else, nothing is run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cnnkit.bundles.graphs.families import IMAGENET_MEAN
from cnnkit.bundles.graphs.network import find_input

MAX_STEPS = 16
# Steps that leave every number as it is.
SAME = frozenset("Convert Transpose Identity FakeQuantize Unsqueeze Squeeze Reshape".split())
# The least deviation, and the least mean, of pixels from 0 to 255. Networks behind others' numbers,
# from 0 to 1 or -1 to 1, have deviations and means about 1.
LEAST_STD, LEAST_MEAN = 32.0, 64.0
# How far ImageNet's means are rounded.
NEAR = 2.0


class OwnNormalization(NamedTuple):
    """A number of a graph is ``(pixel - mean) / std``, of pixels from 0 to 255.

    Attributes:
        mean: One number for all channels, or three in the order in which they enter.
        std: The same.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def colors(self) -> str | None:
        """The order of the colors, where the means are ImageNet's; None: it is not known."""
        orders = {"RGB": IMAGENET_MEAN, "BGR": IMAGENET_MEAN[::-1]}
        if len(self.mean) == 3:
            for colors, means in orders.items():
                if max(abs(a - b) for a, b in zip(self.mean, means, strict=True)) <= NEAR:
                    return colors
        return None

    @property
    def names_colors(self) -> bool:
        """Whether each color has its own numbers, so that their order matters here."""
        return max(len(set(self.mean)), len(set(self.std))) > 1

    def __str__(self) -> str:
        mean, std = (", ".join(f"{one:.4g}" for one in values) for values in self)
        return f"mean {mean}, std {std}"


def own_normalization(model: Any, tensor: str) -> OwnNormalization | None:
    """Return how a graph normalizes pixels from 0 to 255 first of all.

    Args:
        model: An `openvino.Model`; it stays as it is.
        tensor: Name of the input of the image.

    Returns:
        None where it does not, or not by constants alone, or where its numbers are none of pixels.
    """
    port = find_input(model, tensor)
    scale, offset = np.ones(1), np.zeros(1)
    for _ in range(MAX_STEPS):
        targets = [
            one for one in port.get_target_inputs() if one.get_node().get_type_name() != "ShapeOf"
        ]
        if len(targets) != 1:
            break
        node, place = targets[0].get_node(), targets[0].get_index()
        step = _step(node, place)
        if step is None:
            break
        scale, offset = scale * step[0], offset * step[0] + step[1]
        port = node.output(0)
    return _of_pixels(scale, offset)


def _step(node: Any, place: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the factor and the summand of one operation, None if it has none of its own."""
    kind, one, none = node.get_type_name(), np.ones(1), np.zeros(1)
    if kind in SAME:
        return (one, none) if place == 0 else None
    if kind == "BatchNormInference":
        return _of_batch_norm(node) if place == 0 else None
    if kind not in ("Add", "Subtract", "Multiply", "Divide"):
        return None
    value = _constant(node.input_value(1 - place))
    if value is None or (place == 1 and kind in ("Subtract", "Divide")):
        return None
    if kind == "Divide":
        return (1 / value, none) if value.all() else None
    factors = {"Add": (one, value), "Subtract": (one, -value), "Multiply": (value, none)}
    return factors[kind]


def _of_batch_norm(node: Any) -> tuple[np.ndarray, np.ndarray] | None:
    gamma, beta, mean, variance = (_constant(node.input_value(place)) for place in range(1, 5))
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    factor = gamma / np.sqrt(variance + float(node.get_attributes()["epsilon"]))
    return factor, beta - mean * factor


def _constant(port: Any) -> np.ndarray | None:
    """Return a constant's numbers, one or three, float64; None where it is none or another."""
    node = port.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or np.prod(port.get_partial_shape().to_shape()) > 3:
        return None
    values = np.asarray(node.get_data(), np.float64).ravel()
    return values if len(values) in (1, 3) and np.isfinite(values).all() else None


def _of_pixels(scale: np.ndarray, offset: np.ndarray) -> OwnNormalization | None:
    """Return the mean and the deviation, if they are those of pixels from 0 to 255."""
    if not (scale > 0).all():
        return None
    std = 1 / scale
    mean = -offset * std
    is_scaled = (std >= LEAST_STD).all()
    is_centered = (std >= 1).all() and (mean >= LEAST_MEAN).all()
    if not (is_scaled or is_centered) or (mean < -1).any() or (mean > 255).any():
        return None
    return OwnNormalization(_shortened(mean), _shortened(std))


def _shortened(values: np.ndarray) -> tuple[float, ...]:
    """Return one number where all are alike, rounded, and no negative zero."""
    rounded = tuple(float(one) + 0.0 for one in np.round(values, 4))
    return rounded[:1] if len(set(rounded)) == 1 else rounded
