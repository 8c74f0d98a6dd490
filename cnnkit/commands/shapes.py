"""`shapes`: the shapes and costs of a chain of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.argument_types import checks_types
from cnnkit.lab.arithmetic import CONVENTION, Row, Shape, as_shape, follow, parse_chain, totals


@dataclass(frozen=True)
class ChainOfLayers:
    """The shapes and costs of a chain of layers.

    Attributes:
        input: Height, width and channels of the input.
        rows: One per layer: ``.text``, ``.input``, ``.output``, ``.parameters``, ``.multiplies``,
            ``.activations``, ``.field`` (the receptive field, None for the whole image) and
            ``.branches``.
    """

    input: Shape
    rows: tuple[Row, ...]

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all layers: ``parameters``, ``multiplies`` and ``activations``."""
        return totals(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, as ``cnnkit shapes --json`` does."""
        content: dict[str, Any] = {"input": list(self.input), "convention": CONVENTION}
        return content | {"layers": [row.to_dict() for row in self.rows], "totals": self.totals}


@checks_types
def shapes(layers: str | Sequence[str], input_shape: str | Sequence[int]) -> ChainOfLayers:
    """Compute the shapes and costs of a chain of layers. Nothing is built, nothing is loaded.

    Args:
        layers: One layer each, such as ``conv 10 3x3/2 same``, ``max 2x2``, ``flatten`` or
            ``dense 10``; ``cnnkit shapes --help`` lists them all.
        input_shape: Height, width and channels, such as ``(224, 224, 3)`` or ``"224x224x3"``.

    Returns:
        A row for each layer in ``.rows``, the sums in ``.totals``.

    Raises:
        UsageError: The input shape is invalid, a layer cannot be read, or it does not fit the
            output of the one before.
    """
    shape = as_shape(input_shape)
    texts = [layers] if isinstance(layers, str) else list(layers)
    return ChainOfLayers(shape, tuple(follow(parse_chain(texts), shape)))
