"""How a graph normalizes pixels by its own first operations, so that it is not done twice.

Exports of Keras hold a Rescaling or a Normalization, files of OpenVINO the mean and scale values
of their conversion: such a graph takes pixels from 0 to 255 as they are. What stands in front of
the first convolution or pooling is run on images of one color: whichever operations it consists
of, also those that turn the channels, it must give a multiple of each channel and a constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cnnkit.bundles.graphs.families import IMAGENET_MEAN
from cnnkit.bundles.graphs.network import find_input
from cnnkit.runtime.process import import_openvino

# What looks at more than one pixel, or channel: the first such ends what is looked at here.
MIXING = frozenset(
    "Convolution GroupConvolution MatMul AvgPool MaxPool ReduceMean ReduceMax ReduceSum".split()
)
# How far a number may lie from a straight line, as a share of what a channel moves it by.
ROUNDING = 1e-3
PROBE = 100.0
CHECKED = (255.0, 200.0, 30.0)
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


def own_normalization(
    model: Any, tensor: str, layout: str, size: tuple[int, int], channels: int
) -> OwnNormalization | None:
    """Return how a graph normalizes pixels from 0 to 255 first of all.

    Args:
        model: An `openvino.Model`; it stays as it is.
        tensor: Name of the input of the image.
        layout: ``NHWC`` or ``NCHW``.
        size: Height and width of the images.
        channels: 1 or 3.

    Returns:
        None where it does not, or in another way than by a factor and a summand of each channel,
        or where its numbers are none of pixels.
    """
    shape = (1, *size, channels) if layout == "NHWC" else (1, channels, *size)
    colors = [np.zeros(channels), *np.eye(channels) * PROBE, np.array(CHECKED[:channels])]
    try:
        found = _first_numbers(model.clone(), tensor, shape, colors)
    except RuntimeError:  # it takes no such images; whoever opens it says so
        return None
    if found is None:
        return None
    moved = (found[1:-1] - found[0]) / PROBE  # of (color, channel of the graph)
    largest = np.abs(moved).max(axis=1)
    order = np.abs(moved).argmax(axis=1)
    if not largest.all() or len(set(order)) != channels:
        return None
    scale, offset = moved[range(channels), order], found[0][order]
    others = np.abs(moved).sum(axis=1) - largest
    expected = np.array(CHECKED[:channels]) * scale + offset
    bent = np.abs(found[-1][order] - expected)
    if (others > ROUNDING * largest).any() or (bent > ROUNDING * 255 * largest).any():
        return None
    return _of_pixels(scale, offset)


def _first_numbers(
    model: Any, tensor: str, shape: tuple[int, ...], colors: list[np.ndarray]
) -> np.ndarray | None:
    """Return what the first of `MIXING` sees in the middle of images of one color.

    Args:
        model: It is taken apart.
        tensor: Name of the input of the image.
        shape: Of one image.
        colors: Of the images, (channels,) each.

    Returns:
        (colors, channels), float64; None where it sees no image of as many channels.
    """
    ov = import_openvino()
    image = find_input(model, tensor)
    model.reshape({image: list(shape)})
    port = _in_front_of_the_first(model, image)
    if port is None or port.get_node() == image.get_node():
        return None
    channels = len(colors[0])
    axis = _channel_axis(list(port.get_partial_shape()), channels)
    if axis is None:
        return None
    front = ov.Model([ov.opset13.result(port)], [image.get_node()], "front")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    compiled = ov.Core().compile_model(front, "CPU", settings)
    kind = image.get_element_type().to_dtype()
    rows = []
    for color in colors:
        pixels = color if shape[-1] == channels else color[:, None, None]
        given = compiled(np.broadcast_to(pixels, shape).astype(kind))[0]
        rows.append(_middle(np.moveaxis(given[0], axis - 1, -1)))
    found = np.array(rows, np.float64)
    return found if np.isfinite(found).all() else None


def _middle(image: np.ndarray) -> np.ndarray:
    """Return the numbers of the pixel in the middle: beside the image there may be bars."""
    return image[image.shape[0] // 2, image.shape[1] // 2]


def _in_front_of_the_first(model: Any, image: Any) -> Any | None:
    """Return the tensor that the first of `MIXING` sees; None where something else comes first."""
    behind = {image.get_node().get_friendly_name()}
    for node in model.get_ordered_ops():
        given = [value.get_node().get_friendly_name() in behind for value in node.input_values()]
        if not any(given) or node.get_type_name() == "ShapeOf":
            continue
        if node.get_type_name() in MIXING:
            return node.input_value(0) if given[0] else None
        behind.add(node.get_friendly_name())
    return None


def _channel_axis(shape: list[Any], channels: int) -> int | None:
    """Return which axis of (1, ., ., .) has the channels, None where that is not known."""
    if len(shape) != 4 or any(side.is_dynamic for side in shape):
        return None
    fitting = [axis for axis in (1, 3) if shape[axis].get_length() == channels]
    return fitting[0] if len(fitting) == 1 and shape[0].get_length() == 1 else None


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
