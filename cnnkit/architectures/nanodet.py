"""NanoDet-g: a small one-stage detector without anchors.

RangiLyu, NanoDet, https://github.com/RangiLyu/nanodet: a plain backbone of cross-stage blocks
(Wang et al., "CSPNet", https://arxiv.org/abs/1911.11929), a path aggregation neck without
convolutions of its own, and the generalized focal heads of Li et al., "Generalized Focal Loss",
https://arxiv.org/abs/2006.04388. The "g" is made for GPUs: convolutions throughout, none of them
depthwise, and their batch normalization is folded into them.

What comes out of a head is raw: for an input of height x width and a head of stride s the tensor
``strideS`` has the shape (batch, height / s, width / s, classes + 4 * BINS). The channels are the
logits of the classes, each for itself, and then, for each of left, top, right and bottom, the
logits of `BINS` distances. With the softmax p of a side's bins, a cell's box reaches

    (p0 * 0 + p1 * 1 + ... + p10 * 10) * s

pixels from the middle of the cell, ((column + 0.5) * s, (row + 0.5) * s), to that side, and the
score of a class is the sigmoid of its logit. `decode_head` does this in keras.ops.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import layers, ops

from cnnkit.architectures import blocks
from cnnkit.architectures.yolo import output_name

LARGEST_STRIDE = 32
SLOPE = 0.1  # of the leaky rectifier below zero
BINS = 11  # distances of 0 to 10 cells
NECK_FILTERS = 128
STRIDES = (8, 16, 32)
# Stands for minus infinity around the pooling: below what any activation is, in every precision.
LOWEST = -1e4


class ShuffleStage(NamedTuple):
    """A cross-stage block; it gives twice its filters."""

    filters: int
    repeats: int
    strides: int


STAGES = {
    1: ShuffleStage(32, 1, 1),
    2: ShuffleStage(64, 2, 2),
    3: ShuffleStage(128, 2, 2),
    4: ShuffleStage(256, 3, 2),
}
# The stages that the neck reads, one for each of STRIDES.
READ_STAGES = (2, 3, 4)


def convolution_unit(
    x: keras.KerasTensor, name: str, filters: int, strides: int = 1
) -> keras.KerasTensor:
    """Convolution 3 x 3 with bias, and leaky rectifier: NAME_pad, NAME_conv, NAME_activation.

    Returns:
        Tensor of shape (batch, height / strides, width / strides, filters).
    """
    padding = "same"
    if strides > 1:  # as where the weights come from: one row above and one column to the left
        x = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(filters, 3, strides, padding, name=f"{name}_conv")(x)
    return layers.LeakyReLU(SLOPE, name=f"{name}_activation")(x)


def _pooled(x: keras.KerasTensor) -> keras.KerasTensor:
    """The highest of 3 x 3, in steps of 2, around every second place beginning with the first."""
    x = ops.pad(x, [(0, 0), (1, 0), (1, 0), (0, 0)], constant_values=LOWEST)
    return layers.MaxPooling2D(3, 2, name="pool")(x)


def cross_stage_block(x: keras.KerasTensor, name: str, stage: ShuffleStage) -> keras.KerasTensor:
    """Convolve, send the result through blocks that join their halves, and join it with itself.

    Returns:
        Tensor of shape (batch, height / strides, width / strides, 2 * filters).
    """
    shortcut = x = convolution_unit(x, f"{name}_in", stage.filters, stage.strides)
    for number in range(1, stage.repeats + 1):
        block = f"{name}_block{number}"
        first = convolution_unit(x, f"{block}_first", stage.filters // 2)
        second = convolution_unit(first, f"{block}_second", stage.filters // 2)
        x = layers.Concatenate(name=f"{block}_join")([second, first])
    x = convolution_unit(x, f"{name}_out", stage.filters)
    return layers.Concatenate(name=f"{name}_join")([x, shortcut])


def _doubled(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """Double height and width by bilinear interpolation."""
    if None not in x.shape[1:3]:
        return layers.UpSampling2D(2, interpolation="bilinear", name=f"up{stride}")(x)
    # Keras resizes bilinearly to sizes known beforehand only. Repeating every value and averaging
    # neighbors twice gives the same weights: 1/4, 1/2, 1/4 of x, x and its next neighbor.
    x = layers.UpSampling2D(2, name=f"up{stride}")(x)
    x = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
    for _ in range(2):
        x = layers.AveragePooling2D(2, strides=1)(x)
    return x


def _neck(features: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Mix three maps, finest first: each gets what the coarser ones say, then the finer ones."""
    fine, middle, coarse = (
        layers.Conv2D(NECK_FILTERS, 1, name=f"lateral{stride}")(x)
        for stride, x in zip(STRIDES, features, strict=True)
    )

    def half(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
        return layers.AveragePooling2D(2, name=f"down{stride}")(x)

    middle = layers.Add(name="down_add16")([middle, _doubled(coarse, 16)])
    fine = layers.Add(name="down_add8")([fine, _doubled(middle, 8)])
    middle = layers.Add(name="up_add16")([middle, half(fine, 16)])
    coarse = layers.Add(name="up_add32")([coarse, half(middle, 32)])
    return [fine, middle, coarse]


def _head(x: keras.KerasTensor, stride: int, channels: int) -> keras.KerasTensor:
    """The raw output in float32, also under mixed precision."""
    x = convolution_unit(x, f"before{stride}", NECK_FILTERS)
    x = layers.Conv2D(channels, 1, name=f"head{stride}")(x)
    return layers.Activation("linear", dtype="float32", name=output_name(stride))(x)


def nanodet_g(
    input_shape: tuple[int | None, int | None, int] | None = None, classes: int = 80
) -> keras.Model:
    """Build NanoDet-g, 3,786,068 weights with 80 classes.

    Args:
        input_shape: Height, width and channels; each side a multiple of 32, or None for any
            such. (416, 416, 3) by default.
        classes: Number of classes, from 1 up.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to a
        dict of raw heads: ``stride8`` (batch, height / 8, width / 8, classes + 4 * BINS) and so
        on, see the module.

    Raises:
        ValueError: A side is no multiple of 32.
    """
    shape = input_shape or (416, 416, 3)
    if any(side is not None and side % LARGEST_STRIDE for side in shape[:2]):
        raise ValueError(
            f"`input_shape` must have sides that are multiples of {LARGEST_STRIDE}. "
            f"Received: {shape}."
        )
    # === Layers ===
    image = blocks.rgb_input(shape)
    x = blocks.standardize(image)
    x = _pooled(convolution_unit(x, "stem", 32, 2))
    done = {}
    for number, stage in STAGES.items():
        done[number] = x = cross_stage_block(x, f"stage{number}", stage)
    mixed = _neck([done[number] for number in READ_STAGES])
    heads = {
        output_name(stride): _head(x, stride, classes + 4 * BINS)
        for stride, x in zip(STRIDES, mixed, strict=True)
    }
    # === Model ===
    return keras.Model(image, heads, name="nanodet_g")


def cell_middles(rows: int, columns: int, stride: int) -> keras.KerasTensor:
    """Return the middles of a head's cells in pixels of the input, float32 (rows, columns, 2)."""
    across, down = ops.meshgrid(ops.arange(columns), ops.arange(rows))
    return (ops.cast(ops.stack([across, down], axis=-1), "float32") + 0.5) * stride


def expected_distances(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return the means of distributions over `BINS` distances, in cells.

    Args:
        logits: (..., 4 * BINS), side by side.

    Returns:
        (..., 4), from 0 to BINS - 1.
    """
    sides = ops.reshape(logits, (*ops.shape(logits)[:-1], 4, BINS))
    return ops.sum(ops.softmax(sides, axis=-1) * ops.arange(BINS, dtype=logits.dtype), axis=-1)


def decode_head(raw: keras.KerasTensor, stride: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Decode one raw head, differentiably.

    Args:
        raw: Logits (batch, rows, columns, classes + 4 * BINS), see the module.
        stride: Pixels of the input a cell.

    Returns:
        Boxes as left, top, right, bottom in pixels of the input (batch, rows, columns, 4), not
        clipped; the logits of the classes (batch, rows, columns, classes).
    """
    rows, columns = ops.shape(raw)[1:3]
    middles = ops.cast(cell_middles(rows, columns, stride), raw.dtype)
    reach = expected_distances(raw[..., -4 * BINS :]) * stride
    return boxes_around(middles, reach), raw[..., : -4 * BINS]


def boxes_around(middles: keras.KerasTensor, reach: keras.KerasTensor) -> keras.KerasTensor:
    """Return left, top, right and bottom of boxes (..., 4).

    Args:
        middles: Column and row of a place in each box (..., 2), in pixels.
        reach: How far it is from there to the left, top, right and bottom (..., 4), in pixels.
    """
    return ops.concatenate([middles - reach[..., :2], middles + reach[..., 2:]], axis=-1)
