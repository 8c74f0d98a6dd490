"""Receptive fields: which rectangle of the picture a place of a map depends on.

``r[l] = r[l-1] + (k - 1) j[l-1]`` and ``j[l] = s j[l-1]`` for kernel k and stride s, see Araujo,
Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
Kept here are both ends of the interval, so that the rectangle's place is exact as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnkit.arithmetic.windows import Window


@dataclass(frozen=True)
class AxisField:
    """Along one axis, place i of a map sees the picture from ``i jump + low`` to ``i jump + high``.

    Attributes:
        low: First place that place 0 sees; negative where it reaches into the padding.
        high: Last one.
        jump: From one place of the map to the next, in places of the picture.
    """

    low: int = 0
    high: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """Places of the picture that one place of the map sees."""
        return self.high - self.low + 1

    def through(self, kernel: int, stride: int, before: int, dilation: int) -> AxisField:
        """Return the field behind a window with `before` zeros ahead of the first place."""
        low = self.low - before * self.jump
        high = self.high + (dilation * (kernel - 1) - before) * self.jump
        return AxisField(low, high, self.jump * stride)

    def joined(self, other: AxisField) -> AxisField:
        """Return the field of a sum or a concatenation: what either of them sees."""
        return AxisField(
            min(self.low, other.low), max(self.high, other.high), max(self.jump, other.jump)
        )


@dataclass(frozen=True)
class Field:
    """The receptive field of a map, along both axes.

    Attributes:
        rows: From top to bottom.
        columns: From left to right.
    """

    rows: AxisField = AxisField()
    columns: AxisField = AxisField()

    def through(self, window: Window, height: int, width: int) -> Field:
        """Return the field behind a window that slides over a map of that size."""
        (top, _), (left, _) = window.sides(height, width)
        kernel, strides, dilation = window.kernel, window.strides, window.dilation
        return Field(
            self.rows.through(kernel[0], strides[0], top, dilation[0]),
            self.columns.through(kernel[1], strides[1], left, dilation[1]),
        )

    def joined(self, other: Field) -> Field:
        """Return what either of two fields sees."""
        return Field(self.rows.joined(other.rows), self.columns.joined(other.columns))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the rectangle."""
        return self.rows.size, self.columns.size

    @property
    def jump(self) -> tuple[int, int]:
        """Steps in the picture from one place to the next, down and to the right."""
        return self.rows.jump, self.columns.jump

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return what the place at (row, column) sees, in pixels of the network's input.

        Returns:
            (left, top, right, bottom), right and bottom exclusive; it may reach beyond the
            picture, where the network saw padding.
        """
        left, top = (
            self.columns.low + column * self.columns.jump,
            self.rows.low + row * self.rows.jump,
        )
        return left, top, left + self.columns.size, top + self.rows.size
