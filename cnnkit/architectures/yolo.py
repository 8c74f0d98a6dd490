"""YOLOv3 and YOLOv3-tiny: one-stage detectors, built from one table of blocks each.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", https://arxiv.org/abs/1804.02767. The
rows of a table stand in the order of Darknet's files, so that an importer can follow them.

What comes out of a head is raw: for an input of height x width and a head of stride s the tensor
``strideS`` has the shape (batch, height / s, width / s, anchors * (5 + classes)). The channels go
anchor by anchor, for each ``tx ty tw th object class0 class1 ...``, all of them logits. With
sigmoid S, and the anchor's sides in pixels of the input, a cell's box is

    center x = (column + S(tx)) * s      width  = exp(tw) * anchor width
    center y = (row + S(ty)) * s         height = exp(th) * anchor height

and the score of a class is S(object) * S(class): each class by itself, not a softmax.
`decode_head` does this in keras.ops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypedDict, Unpack

import keras
from keras import layers, ops

from cnnkit.architectures import blocks

LARGEST_STRIDE = 32
SLOPE = 0.1  # of the leaky rectifier below zero
EPSILON = 1e-5  # of the batch normalization; Keras's own 1e-3 moves a score by up to 0.0075
# exp(tw) is bounded here: a wild logit in training must not become infinite.
LARGEST_LOG_SIDE = 10.0


class ConvolutionUnit(NamedTuple):
    """Convolution without bias, batch normalization, leaky rectifier."""

    name: str
    filters: int
    size: int
    strides: int = 1


class PoolingUnit(NamedTuple):
    """The highest of 2 x 2; with stride 1 the size stays."""

    name: str
    strides: int


class Residual(NamedTuple):
    """Half the filters 1 x 1, all 3 x 3, added to what came in."""

    name: str
    filters: int


class YoloHead(NamedTuple):
    """The raw output of one stride."""

    stride: int


class Upward(NamedTuple):
    """From an earlier block on: 1 x 1, twice the size, joined with a finer block."""

    name: str
    source: str
    filters: int
    finer: str


Block = ConvolutionUnit | PoolingUnit | Residual | YoloHead | Upward

TINY: tuple[Block, ...] = (
    ConvolutionUnit("conv1", 16, 3),
    PoolingUnit("pool1", 2),
    ConvolutionUnit("conv2", 32, 3),
    PoolingUnit("pool2", 2),
    ConvolutionUnit("conv3", 64, 3),
    PoolingUnit("pool3", 2),
    ConvolutionUnit("conv4", 128, 3),
    PoolingUnit("pool4", 2),
    ConvolutionUnit("conv5", 256, 3),
    PoolingUnit("pool5", 2),
    ConvolutionUnit("conv6", 512, 3),
    PoolingUnit("pool6", 1),
    ConvolutionUnit("conv7", 1024, 3),
    ConvolutionUnit("neck32", 256, 1),
    ConvolutionUnit("before32", 512, 3),
    YoloHead(32),
    Upward("up16", "neck32", 128, "conv5"),
    ConvolutionUnit("before16", 256, 3),
    YoloHead(16),
)


def _stage(number: int, filters: int, repeats: int) -> tuple[Block, ...]:
    """A convolution that halves the size, then residual blocks."""
    down = ConvolutionUnit(f"stage{number}_down", filters, 3, 2)
    return (down, *(Residual(f"stage{number}_block{i}", filters) for i in range(1, repeats + 1)))


def _neck(stride: int, filters: int) -> tuple[Block, ...]:
    """Five convolutions, narrow and wide in turn; the next, wide one feeds the head."""
    sizes = [(filters, 1), (2 * filters, 3)] * 2 + [(filters, 1)]
    names = [f"neck{stride}_conv{i}" for i in range(1, 5)] + [f"neck{stride}"]
    rows = [ConvolutionUnit(name, *size) for name, size in zip(names, sizes, strict=True)]
    return (*rows, ConvolutionUnit(f"before{stride}", 2 * filters, 3), YoloHead(stride))


FULL: tuple[Block, ...] = (
    ConvolutionUnit("stem", 32, 3),
    *_stage(1, 64, 1),
    *_stage(2, 128, 2),
    *_stage(3, 256, 8),
    *_stage(4, 512, 8),
    *_stage(5, 1024, 4),
    *_neck(32, 512),
    Upward("up16", "neck32", 256, "stage4_block8"),
    *_neck(16, 256),
    Upward("up8", "neck16", 128, "stage3_block8"),
    *_neck(8, 128),
)

VARIANTS: dict[str, tuple[Block, ...]] = {"yolov3_tiny": TINY, "yolov3": FULL}


def convolution_unit(
    x: keras.KerasTensor, name: str, filters: int, size: int, strides: int = 1
) -> keras.KerasTensor:
    """Convolution, normalization and leaky rectifier: NAME_conv, NAME_bn, NAME_activation.

    Returns:
        Tensor of shape (batch, height / strides, width / strides, filters).
    """
    padding = "same"
    if strides > 1:  # as where the weights come from: one row above and one column to the left
        x = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(filters, size, strides, padding, use_bias=False, name=f"{name}_conv")(x)
    x = blocks.normalized_activation(x, name, None, EPSILON)
    return layers.LeakyReLU(SLOPE, name=f"{name}_activation")(x)


def _residual(x: keras.KerasTensor, block: Residual) -> keras.KerasTensor:
    shortcut = x
    x = convolution_unit(x, f"{block.name}_squeeze", block.filters // 2, 1)
    x = convolution_unit(x, f"{block.name}_expand", block.filters, 3)
    return layers.Add(name=f"{block.name}_add")([shortcut, x])


def _upward(
    source: keras.KerasTensor, finer: keras.KerasTensor, block: Upward
) -> keras.KerasTensor:
    x = convolution_unit(source, block.name, block.filters, 1)
    x = layers.UpSampling2D(2, name=f"{block.name}_twice")(x)
    return layers.Concatenate(name=f"{block.name}_join")([x, finer])


def _head(x: keras.KerasTensor, stride: int, channels: int) -> keras.KerasTensor:
    """The raw output in float32, also under mixed precision."""
    x = layers.Conv2D(channels, 1, name=f"head{stride}")(x)
    return layers.Activation("linear", dtype="float32", name=output_name(stride))(x)


def output_name(stride: int) -> str:
    """Return the name of a head's layer and output."""
    return f"stride{stride}"


def strides_of(name: str) -> tuple[int, ...]:
    """Return the strides of the heads of a variant, in the order of Darknet's files."""
    return tuple(block.stride for block in VARIANTS[name] if isinstance(block, YoloHead))


def convolutions(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the convolution layers of a variant in the order of Darknet's files.

    Yields:
        The layer's name, and whether a batch normalization follows (else it has a bias).
    """
    for block in VARIANTS[name]:
        if isinstance(block, ConvolutionUnit | Upward):
            yield f"{block.name}_conv", True
        elif isinstance(block, Residual):
            yield f"{block.name}_squeeze_conv", True
            yield f"{block.name}_expand_conv", True
        elif isinstance(block, YoloHead):
            yield f"head{block.stride}", False


class YoloArguments(TypedDict, total=False):
    """What a member of the family takes; see `yolo`."""

    input_shape: tuple[int | None, int | None, int] | None
    classes: int
    anchors: int


def yolo(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 80,
    anchors: int = 3,
) -> keras.Model:
    """Build a member of the family.

    Args:
        name: A key of `VARIANTS`.
        input_shape: Height, width and channels; each side a multiple of 32, or None for any
            such. (416, 416, 3) by default.
        classes: Number of classes, from 1 up.
        anchors: Anchors of each head.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to a
        dict of raw heads: ``stride32`` (batch, height / 32, width / 32, anchors * (5 + classes))
        and so on, see the module.

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
    x = blocks.normalize(image, 1 / 255, 0.0)
    done: dict[str, keras.KerasTensor] = {}
    heads: dict[str, keras.KerasTensor] = {}
    for block in VARIANTS[name]:
        if isinstance(block, YoloHead):
            heads[output_name(block.stride)] = _head(x, block.stride, anchors * (5 + classes))
            continue
        if isinstance(block, ConvolutionUnit):
            x = convolution_unit(x, *block)
        elif isinstance(block, PoolingUnit):
            x = layers.MaxPooling2D(2, block.strides, padding="same", name=block.name)(x)
        elif isinstance(block, Residual):
            x = _residual(x, block)
        else:
            x = _upward(done[block.source], done[block.finer], block)
        done[block.name] = x
    # === Model ===
    return keras.Model(image, heads, name=name)


def yolov3_tiny(**arguments: Unpack[YoloArguments]) -> keras.Model:
    """YOLOv3-tiny, 8,858,734 weights with 80 classes; see `yolo`."""
    return yolo("yolov3_tiny", **arguments)


def yolov3(**arguments: Unpack[YoloArguments]) -> keras.Model:
    """YOLOv3 on Darknet-53, 62,001,757 weights with 80 classes; see `yolo`."""
    return yolo("yolov3", **arguments)


def decode_head(
    raw: keras.KerasTensor, anchors: Sequence[Sequence[float]], stride: int
) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    """Decode one raw head, differentiably.

    Args:
        raw: Logits (batch, rows, columns, anchors * (5 + classes)), see the module.
        anchors: Width and height of each anchor in pixels of the input (anchors, 2).
        stride: Pixels of the input a cell.

    Returns:
        Boxes as left, top, right, bottom in pixels of the input (batch, rows, columns, anchors,
        4), not clipped; the logits of an object (batch, rows, columns, anchors); the logits of
        the classes (batch, rows, columns, anchors, classes).
    """
    rows, columns = ops.shape(raw)[1:3]
    sizes = ops.convert_to_tensor(anchors, dtype=raw.dtype)  # (anchors, 2)
    count = len(anchors)
    raw = ops.reshape(raw, (-1, rows, columns, count, raw.shape[-1] // count))
    across, down = ops.meshgrid(ops.arange(columns), ops.arange(rows))
    cells = ops.cast(ops.stack([across, down], axis=-1), raw.dtype)  # (rows, columns, 2)
    centers = (cells[:, :, None] + ops.sigmoid(raw[..., :2])) * stride
    sides = ops.exp(ops.minimum(raw[..., 2:4], LARGEST_LOG_SIDE)) * sizes
    boxes = ops.concatenate([centers - sides / 2, centers + sides / 2], axis=-1)
    return boxes, raw[..., 4], raw[..., 5:]
