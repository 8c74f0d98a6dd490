"""What every place of a tensor depends on in the image, whatever the shape of the tensor.

A sight is one of four: `Sight`, with an `AxisField` for each axis of the image; `Scattered`,
where places were shuffled so that an axis of the image lies along several of the tensor;
`UNKNOWN`; and `NO_SIGHT` of what does not depend on the image. Axes are counted without the
batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from cnnkit.lab.arithmetic.fields import LONGEST_PATTERN, NOTHING, AxisField, Field

LARGEST = 1 << 25  # numbers of a tensor whose places are followed one by one
FAR = np.int64(1) << 40


class Other(Enum):
    """What is no sight of places."""

    UNKNOWN = "unknown"
    NOTHING = "nothing"


UNKNOWN, NO_SIGHT = Other.UNKNOWN, Other.NOTHING


@dataclass(frozen=True)
class Sight:
    """What the places of a tensor see, axis by axis.

    Attributes:
        extent: Sides of the image.
        lying: For each of them the axis of the tensor along which its places lie, None if all
            places see the same.
        fields: For each of them what the places see.
    """

    extent: tuple[int, ...]
    lying: tuple[int | None, ...]
    fields: tuple[AxisField, ...]


@dataclass(frozen=True)
class Scattered:
    """What the places of a tensor see, place by place.

    Attributes:
        extent: Sides of the image.
        lows: For each of them the first place that is seen, int64, of the tensor's shape or with
            sides of 1 where all places see the same.
        highs: The last one; below the first where nothing is seen.
    """

    extent: tuple[int, ...]
    lows: tuple[np.ndarray, ...]
    highs: tuple[np.ndarray, ...]


AnySight = Sight | Scattered | Other
Shape = tuple[int, ...]
# By axis of a tensor, what a layer makes of a field along it.
Through = dict[int, Callable[[AxisField], AxisField]]


def of_image(shape: Shape, channels: int | None) -> Sight:
    """Return the sight of an image itself, whose channels lie along an axis (None: of none)."""
    axes = [axis for axis in range(len(shape)) if axis != channels]
    extent = tuple(shape[axis] for axis in axes)
    return Sight(extent, tuple(axes), (AxisField(),) * len(axes))


def settled(sight: Sight) -> Sight:
    """Return the sight with axes that are seen whole, from every place, said to be so."""
    lying, fields = list(sight.lying), list(sight.fields)
    for number, (extent, field) in enumerate(zip(sight.extent, sight.fields, strict=True)):
        if field.covers(extent):
            fields[number] = AxisField(0, extent - 1, 0)
        if fields[number].constant:
            lying[number] = None
    return Sight(sight.extent, tuple(lying), tuple(fields))


def described(sight: AnySight, shape: Shape) -> tuple[Field | None, str]:
    """Return what a place sees, for people.

    Args:
        sight: Sight of a tensor.
        shape: Shape of the tensor. A vector has no positions: what all its elements see counts.

    Returns:
        The field where it is a part of the image, and ``part``, ``all``, ``unknown`` or
        ``nothing``.
    """
    if isinstance(sight, Sight) and len(shape) == 1:
        sight = over(sight, shape, (0,))
    if isinstance(sight, Scattered):
        sight = _largest(sight)
    if isinstance(sight, Other):
        return None, sight.value
    sight = settled(sight)
    if all(field.covers(extent) for field, extent in zip(sight.fields, sight.extent, strict=True)):
        return None, "all"
    if any(field.size == 0 for field in sight.fields):
        return None, "nothing"
    if len(sight.fields) > 2:
        return None, "unknown"  # of volumes there is nothing to show
    return Field(*sight.fields), "part"


def _largest(sight: Scattered) -> Sight:
    """Return the widest interval of any place along each axis, as if all saw that."""
    fields = []
    for low, high in zip(sight.lows, sight.highs, strict=True):
        where = np.unravel_index(np.argmax(high - low), low.shape)
        fields.append(AxisField(int(low[where]), int(high[where]), 0))
    return Sight(sight.extent, (None,) * len(fields), tuple(fields))


# --- ways through a layer -------------------------------------------------------------------


def along(sight: AnySight, through: Through, output: Shape) -> AnySight:
    """Return the sight behind windows that slide along some axes of the tensor.

    Args:
        sight: Sight of the input.
        through: By axis, what the layer makes of a field along it.
        output: Shape of the output, of the same rank.
    """
    if isinstance(sight, Other):
        return sight
    if isinstance(sight, Scattered):
        return UNKNOWN
    fields = [
        through[axis](field) if axis in through else field
        for axis, field in zip(sight.lying, sight.fields, strict=True)
    ]
    return settled(replace(sight, fields=tuple(fields)))


def over(sight: AnySight, shape: Shape, axes: Sequence[int], keep: bool = True) -> AnySight:
    """Return the sight of a sum over some axes of a tensor, or of whatever mixes them.

    Args:
        sight: Sight of the tensor.
        shape: Shape of the tensor.
        axes: Which are mixed.
        keep: Whether the axes stay, each place of them seeing all.
    """
    axes = sorted({axis % len(shape) for axis in axes})
    if isinstance(sight, Scattered):
        mixed_axes = tuple(axes)
        empty = [high < low for low, high in zip(sight.lows, sight.highs, strict=True)]
        pairs = list(zip(sight.lows, sight.highs, empty, strict=True))
        lows = [np.where(none, FAR, low).min(mixed_axes, keepdims=keep) for low, _, none in pairs]
        highs = [
            np.where(none, -FAR, high).max(mixed_axes, keepdims=keep) for _, high, none in pairs
        ]
        return gathered(sight.extent, lows, highs)
    if isinstance(sight, Sight):
        lying: list[int | None] = []
        fields = []
        for axis, field in zip(sight.lying, sight.fields, strict=True):
            if axis is None or axis in axes:
                fields.append(field if axis is None else field.over(shape[axis]))
                lying.append(None)
            else:
                fields.append(field)
                lying.append(axis if keep else axis - sum(gone < axis for gone in axes))
        return settled(Sight(sight.extent, tuple(lying), tuple(fields)))
    return sight


def together(sights: Sequence[AnySight], shapes: Sequence[Shape], output: Shape) -> AnySight:
    """Return the sight of what is computed place by place from several tensors.

    Args:
        sights: Sights of the tensors.
        shapes: Shapes of the tensors; a side of 1 is broadcast to the output's.
        output: Shape of the output, of the same rank as each.
    """
    if any(len(shape) != len(output) for shape in shapes):
        return UNKNOWN
    seeing = []
    for sight, shape in zip(sights, shapes, strict=True):
        if sight is UNKNOWN:
            return UNKNOWN
        if sight is not NO_SIGHT:
            seeing.append(_spread_out(sight, shape, output))
    if not seeing:
        return NO_SIGHT
    joined = seeing[0]
    for sight in seeing[1:]:
        joined = _either(joined, sight, output)
    return joined


def _spread_out(sight: AnySight, shape: Shape, output: Shape) -> AnySight:
    """Return the sight where tensor sides of 1 are repeated to those of the output."""
    if not isinstance(sight, Sight):
        return sight
    lying, fields = list(sight.lying), list(sight.fields)
    for number, axis in enumerate(sight.lying):
        if axis is not None and shape[axis] == 1 != output[axis]:
            lying[number] = None
            fields[number] = fields[number].over(1)
    return settled(Sight(sight.extent, tuple(lying), tuple(fields)))


def _either(one: AnySight, other: AnySight, output: Shape) -> AnySight:
    if isinstance(one, Sight) and one == other:
        return one
    if isinstance(one, Sight) and isinstance(other, Sight) and one.extent == other.extent:
        lying: list[int | None] = []
        fields: list[AxisField] = []
        axes = zip(one.lying, one.fields, other.lying, other.fields, one.extent, strict=True)
        for first, field, second, field2, extent in axes:
            if any(own.constant and own.covers(extent) for own in (field, field2)):
                lying.append(None)
                fields.append(AxisField(0, extent - 1, 0))
            elif first is None or second is None or first == second:
                axis = second if first is None else first
                lying.append(axis)
                places = 1 if axis is None else output[axis]
                fields.append(field.joined(field2, places))
            else:
                break
        else:
            return settled(Sight(one.extent, tuple(lying), tuple(fields)))
    if isinstance(one, Other) or isinstance(other, Other) or one.extent != other.extent:
        return UNKNOWN
    here, there = scattered(one, output), scattered(other, output)
    lows, highs = [], []
    for low, high, low2, high2 in zip(here.lows, here.highs, there.lows, there.highs, strict=True):
        a, b = high < low, high2 < low2
        lows.append(np.minimum(np.where(a, FAR, low), np.where(b, FAR, low2)))
        highs.append(np.maximum(np.where(a, -FAR, high), np.where(b, -FAR, high2)))
    return gathered(one.extent, lows, highs)


def rearranged(
    sight: AnySight, shape: Shape, move: Callable[[np.ndarray], np.ndarray], output: Shape
) -> AnySight:
    """Return the sight behind whatever moves, repeats or leaves out places of one tensor.

    Args:
        sight: Sight of the tensor.
        shape: Shape of the tensor.
        move: What happens, done to an array of the tensor's shape; where zeros are put in, it
            should leave -1 in an array of places that are counted from 0.
        output: Shape of the output.
    """
    if isinstance(sight, Other):
        return sight
    if max(math.prod(shape), math.prod(output)) > LARGEST:
        return UNKNOWN
    places = scattered(sight, shape)
    lows: list[np.ndarray] = []
    highs: list[np.ndarray] = []
    for low, high in zip(places.lows, places.highs, strict=True):
        for source, target in ((low, lows), (high, highs)):
            # Counted from 1, so that zeros which are put in can be told.
            moved = move(np.broadcast_to(source + FAR, shape))
            if moved.shape != output:
                return UNKNOWN
            target.append(moved)
        empty = (lows[-1] == 0) | (highs[-1] == 0)
        lows[-1] = np.where(empty, NOTHING[0], lows[-1] - FAR) if empty.any() else lows[-1] - FAR
        highs[-1] = np.where(empty, NOTHING[1], highs[-1] - FAR) if empty.any() else highs[-1] - FAR
    return gathered(sight.extent, lows, highs)


def side_by_side(
    sights: Sequence[AnySight], shapes: Sequence[Shape], axis: int, output: Shape
) -> AnySight:
    """Return the sight of tensors that are put side by side along an axis."""
    if UNKNOWN in sights:
        return UNKNOWN
    seeing = [sight for sight in sights if isinstance(sight, Sight | Scattered)]
    if not seeing:
        return NO_SIGHT
    alike = all(isinstance(sight, Sight) and axis not in sight.lying for sight in seeing)
    if alike:
        fitted = [(*output[:axis], 1, *output[axis + 1 :])] * len(seeing)
        return together(seeing, fitted, output)
    extent = seeing[0].extent
    if math.prod(output) > LARGEST or any(sight.extent != extent for sight in seeing):
        return UNKNOWN
    parts = []
    for sight, shape in zip(sights, shapes, strict=True):
        own = nothing(extent, shape) if isinstance(sight, Other) else scattered(sight, shape)
        parts.append((own, shape))
    lows, highs = [], []
    for number in range(len(extent)):
        lows.append(
            np.concatenate([np.broadcast_to(own.lows[number], s) for own, s in parts], axis)
        )
        highs.append(
            np.concatenate([np.broadcast_to(own.highs[number], s) for own, s in parts], axis)
        )
    return gathered(extent, lows, highs)


def renumbered(sight: AnySight, axes: dict[int, int], places: Shape) -> AnySight:
    """Return the sight of a tensor whose axes have other numbers, the rest of them gone.

    Args:
        sight: Sight of a tensor that sees the same along all axes that are gone.
        axes: The new number of each axis that stays.
        places: The shape of the new tensor.
    """
    if isinstance(sight, Scattered):
        order = sorted(axes, key=axes.__getitem__)
        gone = tuple(axis for axis in range(sight.lows[0].ndim) if axis not in axes)
        fresh = tuple(axis for axis in range(len(places)) if axis not in axes.values())

        def turned(array: np.ndarray) -> np.ndarray:
            kept = array.transpose(*gone, *order)[(0,) * len(gone)]
            return np.expand_dims(kept, fresh)

        return gathered(sight.extent, *([turned(a) for a in s] for s in (sight.lows, sight.highs)))
    if isinstance(sight, Sight):
        lying = tuple(None if axis is None else axes.get(axis) for axis in sight.lying)
        return replace(sight, lying=lying)
    return sight


# --- places one by one ----------------------------------------------------------------------


def nothing(extent: tuple[int, ...], shape: Shape) -> Scattered:
    """Return the places of a tensor that do not see the image."""
    one = (1,) * len(shape)
    low, high = (np.full(one, end, np.int64) for end in NOTHING)
    return Scattered(extent, (low,) * len(extent), (high,) * len(extent))


def scattered(sight: Sight | Scattered, shape: Shape) -> Scattered:
    """Return a sight place by place; sides of 1 where all places see the same."""
    if isinstance(sight, Scattered):
        return sight
    lows, highs = [], []
    for axis, field in zip(sight.lying, sight.fields, strict=True):
        count = 1 if axis is None else shape[axis]
        spans = np.array([field.span(place) for place in range(count)], np.int64)
        sides = [count if number == axis else 1 for number in range(len(shape))]
        lows.append(spans[:, 0].reshape(sides))
        highs.append(spans[:, 1].reshape(sides))
    return Scattered(sight.extent, tuple(lows), tuple(highs))


def gathered(
    extent: tuple[int, ...], lows: Sequence[np.ndarray], highs: Sequence[np.ndarray]
) -> AnySight:
    """Return the sight of places, axis by axis where each lies along one axis of the tensor."""
    lying, fields, small_lows, small_highs = [], [], [], []
    for low, high in zip(lows, highs, strict=True):
        low, high = _small(low, high)
        small_lows.append(low)
        small_highs.append(high)
        long = [axis for axis, side in enumerate(low.shape) if side > 1]
        if len(long) < 2 and low.size <= LONGEST_PATTERN:
            lying.append(long[0] if long else None)
            spans = [
                (int(a), int(b)) if b >= a else NOTHING
                for a, b in zip(low.ravel(), high.ravel(), strict=True)
            ]
            fields.append(AxisField.of_places(spans) if long else AxisField(*spans[0], 0))
    if len(fields) == len(extent):
        return settled(Sight(extent, tuple(lying), tuple(fields)))
    return Scattered(extent, tuple(small_lows), tuple(small_highs))


def _small(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with a side of 1 wherever all places along it see the same."""
    for axis in range(low.ndim):
        first = (slice(None),) * axis + (slice(0, 1),)
        if all((a == a[first]).all() for a in (low, high)):
            low, high = low[first], high[first]
    return low, high
