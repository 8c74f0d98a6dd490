"""Whether the first layer of a graph can see the image that is given to it.

Converters fold a division of pixels by 255 into the weights of the convolution behind it: nothing
in the file says any more that pixels from 0 to 255 enter. Normalized as its family usually is, such
a network sees a nearly even gray, and answers nearly the same for every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnkit.bundles.graphs.network import find_input, is_constant
from cnnkit.bundles.graphs.own_normalization import MIXING
from cnnkit.runtime.process import import_openvino

CONVOLUTIONS = ("Convolution", "GroupConvolution")
# What scales and shifts the result of a convolution: a batch normalization, whole or in parts.
SCALING = frozenset("Add Subtract Multiply Divide BatchNormInference".split())
# How far pixels must move a classifier's filters by a level. EfficientNet-Lite and NanoDet have
# 0.007 to 0.03, SqueezeNet 1.3; where pixels are divided twice it is 0.0006 and less.
LEAST_CHANGE = 0.001


def change_per_level(
    model: Any,
    tensor: str,
    layout: str,
    size: tuple[int, int],
    channels: int,
    std: Sequence[float],
) -> float | None:
    """Return how much the first convolution's result moves if pixels move by one level.

    Args:
        model: An `openvino.Model`; it stays as it is.
        tensor: Name of the input of the image.
        layout: ``NHWC`` or ``NCHW``.
        size: Height and width of the images.
        channels: 1 or 3.
        std: Divides pixels before they enter, one number or one for each channel.

    Returns:
        The median over the filters of the standard deviation for independent pixels; None where
        something else comes first.
    """
    shape = (1, *size, channels) if layout == "NHWC" else (1, channels, *size)
    try:
        run = _up_to_the_first(model.clone(), tensor, shape)
    except RuntimeError:  # it takes no such images; whoever opens it says so
        return None
    if run is None:
        return None
    noise = np.random.default_rng(0).standard_normal((1, *size, channels))
    noise = noise / np.asarray(std)
    given = noise if layout == "NHWC" else np.moveaxis(noise, -1, 1)
    answer = np.asarray(run(given.astype(np.float32))[0], np.float64)  # (1, filters, rows, columns)
    rows, columns = (slice(side // 4, side - side // 4) for side in answer.shape[2:])
    moved = answer[0, :, rows, columns].std(axis=(1, 2))  # the padding is at the border
    seen = moved[np.isfinite(moved) & (moved > 0)]
    return float(np.median(seen)) if len(seen) else None


def _up_to_the_first(model: Any, tensor: str, shape: tuple[int, ...]) -> Any | None:
    """Return a compiled network of all up to the first convolution; None: that is not first."""
    ov = import_openvino()
    image = find_input(model, tensor)
    model.reshape({image: list(shape)})
    if image.get_element_type() != ov.Type.f32:
        return None
    behind = {image.get_node().get_friendly_name()}
    for node in model.get_ordered_ops():
        given = [value.get_node().get_friendly_name() in behind for value in node.input_values()]
        if not any(given) or node.get_type_name() == "ShapeOf":
            continue
        if node.get_type_name() in CONVOLUTIONS and given[0]:
            front = ov.Model([ov.opset13.result(_scaled(node.output(0)))], [image.get_node()], "")
            settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
            return ov.Core().compile_model(front, "CPU", settings)
        if node.get_type_name() in MIXING:
            return None
        behind.add(node.get_friendly_name())
    return None


def _scaled(port: Any) -> Any:
    """Return what a batch normalization makes of the result of a convolution."""
    while len(users := list(port.get_target_inputs())) == 1:
        node = users[0].get_node()
        others = [value for value in node.input_values() if value.get_node() != port.get_node()]
        if node.get_type_name() not in SCALING or not all(map(is_constant, others)):
            return port
        port = node.output(0)
    return port
