"""What is known of a network from another project, and what it makes of its detector head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Strides of the cells of networks that give one box (or one an anchor) a cell.
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


# From the name of an output and the number of a column.
AlwaysOne = Callable[[str, int], bool | None]


def never_told(output: str, column: int) -> None:
    """Say of no column whether it is always 1; see `Clues.always_one`."""


class OutputInfo(NamedTuple):
    """One output of a network as its file describes it.

    Attributes:
        name: Its name, as the card will have it.
        shape: With the batch; None where a side is not fixed.
        dtype: For example ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class HeadProfile:
    """What a network's outputs mean.

    Attributes:
        kind: Which decoder reads them, one of `cnnkit.bundles.detector_card.KINDS`.
        settings: What the card's ``detector`` section needs besides the kind.
        classes: Number of classes; 0 where the outputs do not say.
        input: How the project prepares images, as far as it is known: ``fit``, ``pad_value`` and
            ``interpolation`` as in `cnnkit.images.InputSpec`; ``color`` is ``rgb`` or ``bgr``;
            ``(pixel - mean) / std`` with pixels from 0 to 255 and channels in that order.
        description: One sentence for people.
    """

    kind: str
    settings: dict[str, Any]
    classes: int
    input: dict[str, Any] = field(default_factory=dict)
    description: str = ""

    def section(self) -> dict[str, Any]:
        """Return the card's ``detector`` section."""
        return {"kind": self.kind} | self.settings


class Rows(NamedTuple):
    """An output (batch, boxes, columns); None: that side is not fixed."""

    output: str
    boxes: int | None
    columns: int


class Clues(NamedTuple):
    """What is known of a network.

    Attributes:
        outputs: Its outputs.
        classes: Number of its classes if that is known already, or None.
        size: Height and width of its input.
        about: What its file says of it, lower case.
        is_chosen: The user chose the profile: what contradicts nothing fits.
        always_one: Returns whether a column of an output's rows is 1 whatever the image; None
            where it cannot be told.
    """

    outputs: tuple[OutputInfo, ...]
    classes: int | None
    size: tuple[int, int]
    about: str
    is_chosen: bool
    always_one: AlwaysOne

    def fits(self, classes: int) -> bool:
        """Return whether so many classes are possible."""
        return classes >= 1 if self.classes is None else classes == self.classes

    def only_output(self) -> OutputInfo | None:
        """Return the only output (batch, a, b), or None.

        Heads before decoding, which have more dimensions, may stand beside it.
        """
        low = [output for output in self.outputs if len(output.shape) <= 3]
        return low[0] if len(low) == 1 and len(low[0].shape) == 3 else None

    def only_rows(self) -> Rows | None:
        """Return the only output if it has a fixed number of columns."""
        output = self.only_output()
        if output is None or output.shape[2] is None:
            return None
        return Rows(output.name, output.shape[1], output.shape[2])

    def strides(self, count: int | None, anchors: int = 1) -> tuple[int, ...] | None:
        """Return the strides whose cells, with so many anchors each, give so many boxes."""
        fitting = (s for s in STRIDES if anchors * grid_count(self.size, s) == count)
        return next(fitting, None)

    def may_be_grid(self, rows: Rows, others: int) -> bool:
        """Return whether the rows may be those of all cells, with a box, objectness and classes.

        Args:
            rows: The output.
            others: How many columns are none of the classes' scores.
        """
        is_grid = any(self.strides(rows.boxes, anchors) is not None for anchors in (1, 3))
        return is_grid and self.fits(rows.columns - others)


def grid_count(size: tuple[int, int], strides: Sequence[int]) -> int:
    """Return how many cells of some strides cover an input of that height and width."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)
