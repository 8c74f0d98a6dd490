"""The arithmetic of a layer written out with its numbers, so that it can be followed by hand.

Each function returns an expression that Python evaluates to the result, with ``floor`` and
``ceil`` from `math`; "" where there is nothing to compute.
"""

from __future__ import annotations

import math

from cnnkit.lab.arithmetic.layers import (
    BatchNorm,
    Branches,
    Convolution,
    Dense,
    Depthwise,
    Flatten,
    Layer,
    Shape,
)
from cnnkit.lab.arithmetic.windows import Window


def product(shape: Shape) -> str:
    """Return ``37*37*10``."""
    return "*".join(map(str, shape))


def size_formulas(layer: Layer, shape: Shape) -> list[tuple[str, int]]:
    """Return the expressions of the output's sizes with their values.

    One for a square, else one for the height and one for the width; of a flattened map its
    product; of joined branches the sum of their channels.
    """
    output = layer.output(shape)
    if isinstance(layer, Flatten) and len(shape) > 1:
        return [(product(shape), output[0])]
    if isinstance(layer, Branches):
        return [(" + ".join(str(end[-1]) for end in layer.ends(shape)), output[-1])]
    window = getattr(layer, "window", None)
    if not isinstance(window, Window):
        return []
    axes = [_axis_formula(window, shape, axis) for axis in (0, 1)]
    pairs = list(zip(axes, output[:2], strict=True))
    return pairs[:1] if pairs[0] == pairs[1] else pairs


def _axis_formula(window: Window, shape: Shape, axis: int) -> str:
    size, kernel, stride = shape[axis], window.kernel[axis], window.strides[axis]
    if window.padding == "same":
        return f"ceil({size}/{stride})"
    before, after = window.sides(shape[0], shape[1])[axis]
    padding = f"2*{before}" if before == after else f"{before} + {after}"
    dilation = window.dilation[axis]
    span = f"{kernel}" if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"
    return f"floor(({size} + {padding} - {span})/{stride}) + 1"


def parameter_formula(layer: Layer, shape: Shape) -> str:
    """Return the expression of the trained parameters."""
    if isinstance(layer, Depthwise):
        layer = layer.as_convolution(shape)
    if isinstance(layer, Convolution):
        weights = _weights(layer, shape)
        return f"({weights} + 1)*{layer.filters}" if layer.bias else f"{weights}*{layer.filters}"
    if isinstance(layer, Dense):
        weights = f"({shape[0]} + 1)" if layer.bias else f"{shape[0]}"
        return f"{weights}*{layer.units}"
    if isinstance(layer, BatchNorm):
        return f"2*{shape[-1]}"
    if isinstance(layer, Branches):
        return _sum_over_branches(layer, shape, "parameters")
    return ""


def multiply_formula(layer: Layer, shape: Shape) -> str:
    """Return the expression of the multiplies, outputs first."""
    if isinstance(layer, Depthwise):
        layer = layer.as_convolution(shape)
    if isinstance(layer, Convolution):
        return f"{product(layer.output(shape))} * {_weights(layer, shape)}"
    if isinstance(layer, Dense):
        return f"{shape[0]}*{layer.units}"
    if isinstance(layer, Branches):
        return _sum_over_branches(layer, shape, "multiplies")
    return ""


def dense_formula(layer: Layer, shape: Shape) -> str:
    """Return the weights of the dense layer between the same two shapes, where one is replaced."""
    if not isinstance(layer, Convolution | Depthwise):
        return ""
    return f"({product(shape)}) * ({product(layer.output(shape))})"


def dense_weights(layer: Layer, shape: Shape) -> int | None:
    """Return the value of `dense_formula`, None if there is none."""
    if not isinstance(layer, Convolution | Depthwise):
        return None
    return math.prod(shape) * math.prod(layer.output(shape))


def _weights(layer: Convolution, shape: Shape) -> str:
    channels = f"{shape[2]}" if layer.groups == 1 else f"({shape[2]}//{layer.groups})"
    return f"{layer.window.kernel[0]}*{layer.window.kernel[1]}*{channels}"


def _sum_over_branches(layer: Branches, shape: Shape, count: str) -> str:
    numbers = [Branches((chain,)) for chain in layer.chains]
    return " + ".join(str(getattr(branch, count)(shape)) for branch in numbers)
