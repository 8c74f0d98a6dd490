"""One call of a layer, and which axes of its inputs are places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnkit.lab.networks.sights import AnySight, Shape


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: The layer or operation.
        sights: Sights of the tensors that it is given.
        shapes: Shapes of the inputs, without the batch.
        outputs: Shapes of what it gives, without the batch.
        arguments: Positional arguments of the call, including tensors.
        named: Keyword arguments of the call.
    """

    layer: Any
    sights: Sequence[AnySight]
    shapes: Sequence[Shape]
    outputs: Sequence[Shape]
    arguments: Sequence[Any] = ()
    named: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__

    @property
    def output(self) -> Shape:
        """The shape of what it gives first."""
        return self.outputs[0]

    def argument(self, position: int, name: str) -> Any:
        """Return what was given at a position or by name, else None."""
        if len(self.arguments) > position:
            return self.arguments[position]
        return self.named.get(name)


def spatial(call: Call) -> tuple[int, ...]:
    """Return the axes of a layer's input that are no channels."""
    rank = len(call.shapes[0])
    if channels_first(call.layer):
        return tuple(range(1, rank))
    axis = getattr(call.layer, "axis", -1)
    if call.kind == "GroupNormalization" and axis not in (-1, rank):
        return tuple(n for n in range(rank) if n != axis - 1)
    return tuple(range(rank - 1))


def channels_first(layer: Any) -> bool:
    """Return whether a layer takes channels before places."""
    return getattr(layer, "data_format", None) == "channels_first"


def without_batch(axis: Any, rank: int) -> tuple[int, ...]:
    """Return axes of Keras, counted with the batch, as axes without it; None: all.

    Raises:
        ValueError: The batch is among them.
    """
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, list | tuple) else [axis]
    axes = tuple(one - 1 if one >= 0 else one + rank for one in given)
    if any(not 0 <= one < rank for one in axes):
        raise ValueError("the batch is no axis of one image")
    return axes


def several(value: Any, count: int) -> tuple[Any, ...]:
    """Return a value of each axis."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * count
