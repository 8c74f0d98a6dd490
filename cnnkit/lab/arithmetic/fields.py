"""Receptive fields: which rectangle of the image a place of a map depends on.

``r[l] = r[l-1] + (k - 1) j[l-1]`` and ``j[l] = s j[l-1]`` for kernel k and stride s, see Araujo,
Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
Kept here are both ends of the interval, so that the rectangle's place is exact as well. Behind
upsampling and transposed convolutions neighboring places see intervals of different sizes, in a
pattern that repeats: such a pattern is kept whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cnnkit.lab.arithmetic.windows import Window

# First and last place of the image; last < first: none of it is seen.
Span = tuple[int, int]
NOTHING: Span = (0, -1)

# Places of a pattern, and looks at places while one is computed.
LONGEST_PATTERN = 1 << 16


class Unclear(Exception):
    """The pattern would be longer than anybody can use."""


@dataclass(frozen=True)
class AxisField:
    """Along one axis, place i of a map sees the image from ``i jump + low`` to ``i jump + high``.

    Where the places of a map see intervals of different sizes, `low` and `high` are those of
    place 0, `others` those of the places up to the one where the pattern starts again, `jump`
    further on.

    Attributes:
        low: First place that place 0 sees; negative where it reaches into the padding.
        high: Last one; below `low` where place 0 sees nothing.
        jump: From one place of the map to the next, in places of the image, or from one
            repetition of the pattern to the next. 0: all places see the same.
        others: The intervals of places 1, 2, ... of the pattern.
        bounded: The pattern is the whole map, and beyond it there is nothing.
    """

    low: int = 0
    high: int = 0
    jump: int = 1
    others: tuple[Span, ...] = ()
    bounded: bool = False

    @classmethod
    def of_pattern(cls, spans: Sequence[Span], jump: int) -> AxisField:
        """Return the field of a repeating pattern, as short as it can be written."""
        count = len(spans)
        for period in (n for n in range(1, count + 1) if count % n == 0):
            step, rest = divmod(jump * period, count)
            if rest == 0 and all(
                spans[n] == _moved(spans[n - period], step) for n in range(period, count)
            ):
                break
        (low, high), *others = spans[:period]
        return cls(low, high, step, tuple(others))

    @classmethod
    def of_places(cls, spans: Sequence[Span]) -> AxisField:
        """Return the field of a map whose every place is given."""
        first, *others = spans
        step = spans[1][0] - first[0] if others else 0
        if all(span == _moved(first, step * n) for n, span in enumerate(spans)):
            return cls(*first, step)
        return cls(*first, 0, tuple(others), bounded=True)

    @property
    def pattern(self) -> tuple[Span, ...]:
        """The intervals of the places until they repeat."""
        return (self.low, self.high), *self.others

    @property
    def size(self) -> int:
        """Places of the image that one place of the map sees, at most."""
        return max(high - low + 1 for low, high in self.pattern)

    @property
    def step(self) -> int | float:
        """From one place of the map to the next, in places of the image, on average."""
        step = abs(self.jump) / len(self.pattern)
        return int(step) if step == int(step) else step

    @property
    def constant(self) -> bool:
        """Whether all places of the map see the same."""
        return self.jump == 0 and not self.others

    def span(self, place: int) -> Span:
        """Return the interval that one place sees."""
        if self.bounded and not 0 <= place <= len(self.others):
            return NOTHING
        turn, phase = divmod(place, len(self.others) + 1)
        own = self.others[phase - 1] if phase else (self.low, self.high)
        return _moved(own, turn * self.jump)

    def behind(self, taps: Sequence[Sequence[int]], shift: int, places: int = 0) -> AxisField:
        """Return the field of a map that looks at this one.

        Args:
            taps: The places of this map that places 0, 1, ... of the new one look at.
            shift: Place ``i + len(taps)`` of the new map looks so much further on.
            places: Number of positions of the new map; required if this one is bounded.

        Raises:
            Unclear: The pattern would be too long.
        """
        if self.bounded:
            turns = -(-places // len(taps))
        else:
            turns = len(self.pattern) // math.gcd(len(self.pattern), shift)
        looks = turns * sum(map(len, taps))
        if looks > 16 * LONGEST_PATTERN or turns * len(taps) > LONGEST_PATTERN:
            raise Unclear
        spans = [
            union(self.span(tap + turn * shift) for tap in own)
            for turn in range(turns)
            for own in taps
        ]
        if self.bounded:
            return AxisField.of_places(spans[:places])
        return AxisField.of_pattern(spans, self.jump * turns * shift // len(self.pattern))

    def through(
        self, kernel: int, stride: int, before: int, dilation: int, places: int = 0
    ) -> AxisField:
        """Return the field behind a window with `before` zeros ahead of the first place."""
        period = len(self.pattern)
        # Taps a whole pattern apart see the same, further on: the outermost ones decide.
        taps = range(kernel)
        if kernel > 2 * period:
            taps = [*range(period), *range(kernel - period, kernel)]  # type: ignore[assignment]
        return self.behind([[tap * dilation - before for tap in taps]], stride, places)

    def repeated(self, times: int, places: int = 0) -> AxisField:
        """Return the field behind an upsampling that repeats each place."""
        if times > LONGEST_PATTERN:
            raise Unclear
        return self.behind([[0]] * times, 1, places)

    def transposed(
        self, kernel: int, stride: int, before: int, dilation: int, places: int = 0
    ) -> AxisField:
        """Return the field behind a transposed window, of whose output `before` places are cut."""
        if kernel * stride > LONGEST_PATTERN:
            raise Unclear
        taps = []
        for place in range(stride):
            reached = [place + before - tap * dilation for tap in range(kernel)]
            taps.append([where // stride for where in reached if where % stride == 0])
        return self.behind(taps, 1, places)

    def over(self, places: int) -> AxisField:
        """Return what all places of a map of that many see together."""
        period = len(self.pattern)
        ends = {*range(min(period, places)), *range(max(0, places - period), places)}
        return AxisField(*union(self.span(place) for place in ends), jump=0)

    def covers(self, extent: int) -> bool:
        """Return whether every place sees all of an image of that size, wherever it is."""
        fixed = self.constant or self.bounded
        return fixed and all(low <= 0 and high >= extent - 1 for low, high in self.pattern)

    def joined(self, other: AxisField, places: int = 0) -> AxisField:
        """Return the field of a sum or a concatenation: what either of them sees.

        Args:
            other: Field of the other map.
            places: Number of positions of both maps; required if their steps differ.

        Raises:
            Unclear: The pattern would be too long.
        """
        if self == other:
            return self
        periods = len(self.pattern), len(other.pattern)
        alike = self.jump * periods[1] == other.jump * periods[0]
        count = math.lcm(*periods)
        if not alike or self.bounded or other.bounded:
            count = places
        if count > LONGEST_PATTERN:
            raise Unclear
        spans = [union((self.span(n), other.span(n))) for n in range(count)]
        if not alike or self.bounded or other.bounded:
            return AxisField.of_places(spans)
        return AxisField.of_pattern(spans, self.jump * count // periods[0])


def union(spans: Iterable[Span]) -> Span:
    """Return the smallest interval that holds all of them."""
    seen = [(low, high) for low, high in spans if high >= low]
    if not seen:
        return NOTHING
    return min(low for low, _ in seen), max(high for _, high in seen)


def _moved(span: Span, distance: int) -> Span:
    low, high = span
    return (low + distance, high + distance) if high >= low else NOTHING


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
        outputs = window.output(height, width)
        kernel, strides, dilation = window.kernel, window.strides, window.dilation
        return Field(
            self.rows.through(kernel[0], strides[0], top, dilation[0], outputs[0]),
            self.columns.through(kernel[1], strides[1], left, dilation[1], outputs[1]),
        )

    def joined(self, other: Field, height: int = 0, width: int = 0) -> Field:
        """Return what either of two fields sees; the size of the maps where their steps differ."""
        return Field(
            self.rows.joined(other.rows, height), self.columns.joined(other.columns, width)
        )

    def over(self, height: int, width: int) -> Field:
        """Return what all places of a map of that size see together."""
        return Field(self.rows.over(height), self.columns.over(width))

    def covers(self, height: int, width: int) -> bool:
        """Return whether every place sees a whole image of that size."""
        return self.rows.covers(height) and self.columns.covers(width)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the rectangle; of the largest where places see different ones."""
        return self.rows.size, self.columns.size

    @property
    def jump(self) -> tuple[int | float, int | float]:
        """Steps in the image from one place to the next, down and to the right."""
        return self.rows.step, self.columns.step

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return what the place at (row, column) sees, in pixels of the network's input.

        Returns:
            (left, top, right, bottom), right and bottom exclusive; it may reach beyond the
            image, where the network saw padding.
        """
        top, bottom = self.rows.span(row)
        left, right = self.columns.span(column)
        return left, top, right + 1, bottom + 1
