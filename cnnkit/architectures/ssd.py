"""SSD on an EfficientNet-Lite0 backbone, with separable heads.

Liu et al., "SSD: Single Shot MultiBox Detector", https://arxiv.org/abs/1512.02325; the separable
extra layers and heads as in Sandler et al., "MobileNetV2", https://arxiv.org/abs/1801.04381.

What comes out of a head is raw: for an input of 320 x 320 ``stride16`` has the shape (batch, 20,
20, anchors * (5 + classes)), and so on down to ``stride128``, (batch, 3, 3, ...). The channels
go anchor by anchor, for each ``tx ty tw th background class0 class1 ...``. With the default box's
center in the middle of the cell, and its sides in pixels of the input,

    center x = middle x + 0.1 * tx * default width      width  = exp(0.2 * tw) * default width
    center y = middle y + 0.1 * ty * default height     height = exp(0.2 * th) * default height

and the scores are the softmax over background and classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import keras
from keras import layers, ops

from cnnkit.architectures import blocks
from cnnkit.architectures.efficientnet import stage_outputs

STRIDES = (16, 32, 64, 128)
# The stages of the backbone that the first two heads look at: the last of their strides.
TAPPED = (4, 6)
EXTRA_FILTERS = ((128, 256), (128, 256))  # squeezed, given
HEAD_FILTERS = 192
LEAST_SCALE, MOST_SCALE = 0.15, 0.9
RATIOS = (2.0, 0.5, 3.0, 1 / 3)
ANCHORS = 2 + len(RATIOS)
CENTER_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
LARGEST_LOG_SIDE = 10.0


def default_sizes(side: int) -> list[list[tuple[float, float]]]:
    """Return width and height of the default boxes of each head, in pixels of the input.

    The scales rise evenly from 0.15 to 0.9 of the input from head to head; each head has a
    square of its scale, one between its own and the next scale, and boxes of the same area twice
    and three times as wide as high and the other way round.

    Args:
        side: Side of the square input in pixels.
    """
    step = (MOST_SCALE - LEAST_SCALE) / (len(STRIDES) - 1)
    scales = [LEAST_SCALE + step * number for number in range(len(STRIDES))] + [1.05]
    heads = []
    for scale, following in itertools.pairwise(scales):
        between = math.sqrt(scale * following)
        shapes = [(scale, scale), (between, between)]
        shapes += [(scale * math.sqrt(r), scale / math.sqrt(r)) for r in RATIOS]
        heads.append([(round(w * side, 2), round(h * side, 2)) for w, h in shapes])
    return heads


def ssd_lite0(
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 80,
    anchors: int = ANCHORS,
) -> keras.Model:
    """Build SSD on EfficientNet-Lite0.

    Args:
        input_shape: Height, width and channels, sides None or multiples of 32; (320, 320, 3) by
            default.
        classes: Number of classes, from 1 up, without the background.
        anchors: Default boxes of each cell.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to a dict
        of raw heads ``stride16`` to ``stride128``, see the module.
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (320, 320, 3))
    stages = stage_outputs(image, "efficientnet_lite0")
    maps = [stages[place] for place in TAPPED]
    for stride, (squeezed, given) in zip(STRIDES[2:], EXTRA_FILTERS, strict=True):
        x = _unit(maps[-1], squeezed, f"extra{stride}_squeeze")
        x = _filter(x, f"extra{stride}_filter", strides=2)
        maps.append(_unit(x, given, f"extra{stride}_expand"))
    heads = {
        f"stride{stride}": _head(x, stride, anchors * (5 + classes))
        for stride, x in zip(STRIDES, maps, strict=True)
    }
    # === Model ===
    return keras.Model(image, heads, name="ssd_lite0")


def _unit(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """A 1 x 1 convolution with bias: the new layers have no normalization.

    They learn from few images per step, beside a backbone whose statistics stay as they are.
    """
    return layers.Conv2D(filters, 1, activation="relu6", kernel_initializer="he_normal", name=name)(
        x
    )


def _filter(x: keras.KerasTensor, name: str, strides: int = 1) -> keras.KerasTensor:
    return layers.DepthwiseConv2D(
        3, strides, "same", activation="relu6", depthwise_initializer="he_normal", name=name
    )(x)


def _head(x: keras.KerasTensor, stride: int, channels: int) -> keras.KerasTensor:
    """The raw output in float32, also under mixed precision."""
    x = _unit(x, HEAD_FILTERS, f"before{stride}_squeeze")
    x = _filter(x, f"before{stride}_filter")
    x = layers.Conv2D(channels, 1, name=f"head{stride}")(x)
    return layers.Activation("linear", dtype="float32", name=f"stride{stride}")(x)


def default_boxes(
    raw: keras.KerasTensor, anchors: Sequence[Sequence[float]], height: int, width: int
) -> keras.KerasTensor:
    """Return the default boxes of a head, (rows, columns, anchors, 4).

    Args:
        raw: The head's output, for its rows and columns.
        anchors: Width and height of each in pixels of the input.
        height: Rows of the input.
        width: Its columns.

    Returns:
        Center x, center y, width, height in pixels of the input.
    """
    rows, columns = ops.shape(raw)[1:3]
    x, y = ops.meshgrid(_middles(columns, width), _middles(rows, height))
    shape = (rows, columns, len(anchors), 2)
    centers = ops.broadcast_to(ops.stack([x, y], axis=-1)[:, :, None], shape)
    sides = ops.broadcast_to(ops.convert_to_tensor(anchors, dtype="float32"), shape)
    return ops.concatenate([centers, sides], axis=-1)


def _middles(count: int, side: int) -> keras.KerasTensor:
    """Return the middles of `count` cells that share a side, float32 (count,)."""
    places = ops.cast(ops.arange(count), "float32") + 0.5
    return places * ops.cast(side, "float32") / ops.cast(count, "float32")


def decode_offsets(offsets: keras.KerasTensor, defaults: keras.KerasTensor) -> keras.KerasTensor:
    """Return left, top, right, bottom of offsets from default boxes, both (..., 4)."""
    centers = defaults[..., :2] + CENTER_VARIANCE * offsets[..., :2] * defaults[..., 2:]
    growth = ops.exp(ops.minimum(SIDE_VARIANCE * offsets[..., 2:], LARGEST_LOG_SIDE))
    half = growth * defaults[..., 2:] / 2
    return ops.concatenate([centers - half, centers + half], axis=-1)
