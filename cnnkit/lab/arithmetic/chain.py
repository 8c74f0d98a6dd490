"""A chain of layers followed from its input: one row a layer, with formulas, and the totals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.lab.arithmetic import formulas
from cnnkit.lab.arithmetic.fields import Field
from cnnkit.lab.arithmetic.layers import Branches, Layer, Shape, ShapeError

CONVENTION = (
    "Multiplies are those of the weights for one image (one for each multiply-accumulate): "
    "no biases, no additions. Sizes are height x width x channels."
)

# What a place of the image itself sees.
IMAGE = Field()


class ChainError(ShapeError):
    """A layer of a chain is wrong.

    Attributes:
        position: Its place in the chain, from 0.
        start: Where in the layer's text the mistake begins.
        end: Where it ends.
    """

    def __init__(self, message: str, position: int, start: int, end: int) -> None:
        """Keep where in the chain the mistake is."""
        super().__init__(message)
        self.position = position
        self.start = start
        self.end = end


@dataclass(frozen=True)
class NamedLayer:
    """A layer and the text that spelled it."""

    text: str
    layer: Layer
    branches: tuple[tuple[NamedLayer, ...], ...] = ()


@dataclass(frozen=True)
class Row:
    """What one layer makes of its input.

    Attributes:
        text: The layer as it was spelled.
        layer: The layer.
        input: The shape that it sees.
        output: The shape that it gives.
        parameters: Trained numbers.
        multiplies: For one image.
        field: The receptive field of a place of the output; None: the whole image.
        branches: The rows of each branch of an inception block.
    """

    text: str
    layer: Layer
    input: Shape
    output: Shape
    parameters: int
    multiplies: int
    field: Field | None
    branches: tuple[tuple[Row, ...], ...] = ()

    @property
    def activations(self) -> int:
        """Numbers of the output."""
        return math.prod(self.output)

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON, with its formulas and the dense layer that it replaces."""
        layer, shape = self.layer, self.input
        size = [f"{text} = {value}" for text, value in formulas.size_formulas(layer, shape)]
        field = self.field
        return {
            "layer": self.text,
            "input": list(self.input),
            "output": list(self.output),
            "size_formula": size,
            "parameters": self.parameters,
            "parameter_formula": formulas.parameter_formula(layer, shape),
            "multiplies": self.multiplies,
            "multiply_formula": formulas.multiply_formula(layer, shape),
            "dense_weights": formulas.dense_weights(layer, shape),
            "receptive_field": list(field.size) if field else None,
            "jump": list(field.jump) if field else None,
            "branches": [[row.to_dict() for row in branch] for branch in self.branches],
        }


def follow(
    chain: Sequence[NamedLayer],
    shape: Shape,
    field: Field | None = IMAGE,
    image: Shape | None = None,
) -> list[Row]:
    """Return a row for each layer of a chain.

    Args:
        chain: The layers.
        shape: Shape of the input.
        field: The receptive field of a place of the input; None: the whole image.
        image: The shape of the image that the fields are counted in, where it is not the input.

    Raises:
        ChainError: A layer cannot take what the one before it gives.
    """
    image = image or shape
    rows = []
    for position, named in enumerate(chain):
        try:
            output = named.layer.output(shape)
        except ShapeError as error:
            message = f'layer {position + 1} ("{named.text}"): {error}'
            raise ChainError(message, position, 0, len(named.text)) from error
        rows.append(_row(named, shape, output, field, image))
        shape, field = output, rows[-1].field
    return rows


def _row(named: NamedLayer, shape: Shape, output: Shape, field: Field | None, image: Shape) -> Row:
    layer = named.layer
    behind = layer.field(field, shape)
    if behind is not None and len(image) == 3 and behind.covers(*image[:2]):
        behind = None
    branches: tuple[tuple[Row, ...], ...] = ()
    if isinstance(layer, Branches):
        branches = tuple(tuple(follow(branch, shape, field, image)) for branch in named.branches)
    return Row(
        text=named.text,
        layer=layer,
        input=shape,
        output=output,
        parameters=layer.parameters(shape),
        multiplies=layer.multiplies(shape),
        field=behind,
        branches=branches,
    )


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """Return parameters, multiplies and activations of a whole chain."""
    return {
        "parameters": sum(row.parameters for row in rows),
        "multiplies": sum(row.multiplies for row in rows),
        "activations": sum(row.activations for row in rows),
    }
