"""Sizes, parameters, multiplies and receptive fields of chains of layers, without any library.

`parse_chain` reads layers as people write them, `follow` gives a row for each of them. The
parts serve alone as well: `output_size`, `same_padding`, `Window`, `Field` and the layers.
"""

from __future__ import annotations

from cnnkit.lab.arithmetic.chain import CONVENTION, ChainError, NamedLayer, Row, follow, totals
from cnnkit.lab.arithmetic.fields import AxisField, Field
from cnnkit.lab.arithmetic.layers import (
    BatchNorm,
    Branches,
    Convolution,
    Dense,
    Depthwise,
    Elementwise,
    Flatten,
    GlobalPooling,
    Layer,
    Padding,
    Pooling,
    Shape,
    ShapeError,
)
from cnnkit.lab.arithmetic.parsing import (
    as_shape,
    parse_chain,
    parse_layer,
    parse_shape,
    parse_size,
)
from cnnkit.lab.arithmetic.windows import Window, dilated, output_size, same_padding

__all__ = [
    "CONVENTION",
    "AxisField",
    "BatchNorm",
    "Branches",
    "ChainError",
    "Convolution",
    "Dense",
    "Depthwise",
    "Elementwise",
    "Field",
    "Flatten",
    "GlobalPooling",
    "Layer",
    "NamedLayer",
    "Padding",
    "Pooling",
    "Row",
    "Shape",
    "ShapeError",
    "Window",
    "as_shape",
    "dilated",
    "follow",
    "output_size",
    "parse_chain",
    "parse_layer",
    "parse_shape",
    "parse_size",
    "same_padding",
    "totals",
]
