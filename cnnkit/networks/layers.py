"""From a layer of Keras to the layer of `cnnkit.arithmetic` that computes the same sizes.

Layers are known by the names of their classes, so that this file needs no framework.
"""

from __future__ import annotations

import math
from typing import Any

from cnnkit.arithmetic import (
    AxisField,
    BatchNorm,
    Convolution,
    Dense,
    Depthwise,
    Elementwise,
    Field,
    Flatten,
    GlobalPooling,
    Layer,
    Padding,
    Pooling,
    Window,
)

# A place of their output depends on the same place of their inputs, and on no other.
ELEMENTWISE = frozenset(
    "Activation ReLU LeakyReLU PReLU ELU Softmax Dropout SpatialDropout2D GaussianNoise "
    "Rescaling Normalization Add Subtract Multiply Average Maximum Minimum Concatenate "
    "UnitNormalization Identity InputLayer ActivityRegularization AlphaDropout GaussianDropout "
    # These change pictures in training only.
    "RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation "
    "RandomZoom "
    # keras.ops
    "Divide Relu Relu6 Sigmoid Silu Softplus Tanh Mish LeakyRelu HardSigmoid HardSilu Elu Selu "
    "Gelu Softsign Negative Exp Log Sqrt Square Abs Absolute "
    "Clip Power TrueDivide Cast Pad GetItem".split()
)
JOINS = frozenset("Add Subtract Multiply Average Maximum Minimum Concatenate".split())
ACTIVATIONS = frozenset(
    "Activation ReLU LeakyReLU PReLU ELU Softmax Relu Relu6 Sigmoid Silu Tanh Mish".split()
)
CONVOLUTIONS = frozenset("Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose".split())


def window_of(layer: Any) -> Window | None:
    """Return what slides over the input of a convolution or a pooling, None of others."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not isinstance(kernel, tuple | list) or len(kernel) != 2:
        return None
    dilation = getattr(layer, "dilation_rate", (1, 1))
    return Window(tuple(kernel), tuple(layer.strides), layer.padding, tuple(dilation))


def arithmetic_of(layer: Any) -> Layer | None:
    """Return the layer that counts and sizes like this one; None: there is none.

    Args:
        layer: A `keras.layers.Layer` or an operation of `keras.ops`.
    """
    kind = type(layer).__name__
    window = window_of(layer)
    if kind == "Conv2D" and window:
        return Convolution(layer.filters, window, layer.groups, layer.use_bias)
    if kind == "DepthwiseConv2D" and window:
        return Depthwise(window, layer.depth_multiplier, layer.use_bias)
    if kind in ("MaxPooling2D", "AveragePooling2D") and window:
        return Pooling(kind.removesuffix("Pooling2D").lower(), window)
    if kind in ("GlobalMaxPooling2D", "GlobalAveragePooling2D"):
        return GlobalPooling("max" if "Max" in kind else "average")
    if kind == "ZeroPadding2D":
        return Padding(tuple(tuple(sides) for sides in layer.padding))
    if kind == "Dense":
        return Dense(layer.units, layer.use_bias)
    if kind == "Flatten":
        return Flatten()
    if kind == "BatchNormalization":
        return BatchNorm()
    return Elementwise(kind) if kind in ELEMENTWISE else None


def multiplies_of(layer: Any, shapes: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Return the multiplications of a layer's weights for one picture.

    Args:
        layer: A layer of Keras.
        shapes: Of its inputs, without the batch.
        output: Of its output, without the batch.
    """
    kind = type(layer).__name__
    if kind == "Dense":
        return math.prod(output) * shapes[0][-1]
    if kind == "SeparableConv2D":
        per_channel = math.prod(output[:2]) * shapes[0][2] * layer.depth_multiplier
        return per_channel * (math.prod(layer.kernel_size) + output[2])
    if kind == "Conv2DTranspose":
        return math.prod(shapes[0]) * math.prod(layer.kernel_size) * layer.filters
    arithmetic = arithmetic_of(layer)
    return arithmetic.multiplies(shapes[0]) if arithmetic and len(shapes[0]) == 3 else 0


def field_behind(
    layer: Any,
    fields: list[Field | None],
    shapes: list[tuple[int, ...]],
    output: tuple[int, ...],
) -> Field | None:
    """Return the receptive field behind a layer; None: a place sees the whole picture.

    Args:
        layer: A layer of Keras, or an operation.
        fields: Of its inputs.
        shapes: Of its inputs, without the batch.
        output: Of its output, without the batch.
    """
    if not fields or any(field is None for field in fields):
        return None
    joined = fields[0]
    for field in fields[1:]:
        joined = joined.joined(field)  # type: ignore[union-attr, arg-type]
    kind, window, shape = type(layer).__name__, window_of(layer), shapes[0]
    if len(shape) != 3 or joined is None:
        return None
    if kind == "Conv2DTranspose":
        return None
    if window is not None:
        return joined.through(window, *shape[:2])
    if kind == "UpSampling2D":
        return _upsampled(joined, tuple(layer.size))
    if kind == "Cropping2D":
        (top, _), (left, _) = layer.cropping
        return Field(_shifted(joined.rows, top), _shifted(joined.columns, left))
    arithmetic = arithmetic_of(layer)
    if arithmetic is None:
        return None
    if isinstance(arithmetic, Elementwise) and any(one[:2] != output[:2] for one in shapes):
        return None  # one place is spread over all, or the places are others
    return arithmetic.field(joined, shape)


def _shifted(axis: AxisField, places: int) -> AxisField:
    return AxisField(axis.low + places * axis.jump, axis.high + places * axis.jump, axis.jump)


def _upsampled(field: Field, size: tuple[int, int]) -> Field | None:
    """Return the field behind a repetition of each place; None where the steps are no pixels.

    Place i repeats place i // size: it is taken to see all that its steps could need.
    """
    axes = []
    for axis, factor in ((field.rows, size[0]), (field.columns, size[1])):
        if axis.jump % factor:
            return None
        jump = axis.jump // factor
        axes.append(AxisField(axis.low - jump * (factor - 1), axis.high, jump))
    return Field(*axes)
