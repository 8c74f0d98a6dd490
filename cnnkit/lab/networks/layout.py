"""Places the boxes of a network from top to bottom, branches side by side.

The usual method for layered graphs (Sugiyama, Tagawa and Toda, 1981): a level for each box by its
longest way from the image, a place holder on each level that an edge passes, the order on a
level by the average of what leads to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnkit.lab.networks.grouping import Box

BOX_WIDTH, BOX_HEIGHT = 300, 42
LANE_WIDTH = 28  # of an edge that passes a level
GAP_ACROSS, GAP_DOWN = 24, 26


@dataclass
class Spot:
    """A box, or a place holder of an edge, on its level.

    Attributes:
        box: The number of the box, None for a place holder.
        level: Counted from the top.
        parents: The spots that lead to it.
        x: Its middle.
        name: Name of the box.
        skips: Whether it holds a way around boxes that see the same output.
    """

    box: int | None
    level: int
    parents: list[Spot] = field(default_factory=list)
    x: float = 0.0
    name: str = ""
    skips: bool = False

    @property
    def wish(self) -> float:
        """Where it would best be: below its parents, ways around left aside."""
        parents = [parent for parent in self.parents if not parent.skips] or self.parents
        return sum(parent.x for parent in parents) / max(1, len(parents))

    @property
    def width(self) -> int:
        """The room that it takes."""
        return LANE_WIDTH if self.box is None else BOX_WIDTH

    @property
    def top(self) -> int:
        """Where it begins, from the top of the drawing."""
        return self.level * (BOX_HEIGHT + GAP_DOWN)


def place(boxes: Sequence[Box]) -> list[Spot]:
    """Return the spots of all boxes and place holders, x from 0 to the right."""
    levels: list[int] = []
    for box in boxes:
        levels.append(max((levels[source] + 1 for source in box.inputs), default=0))
    named = zip(levels, boxes, strict=True)
    spots = [Spot(n, level, name=box.main.name) for n, (level, box) in enumerate(named)]
    holders: list[Spot] = []
    seen_by = Counter(source for box in boxes for source in box.inputs)
    for spot, box in zip(list(spots), boxes, strict=True):
        for source in box.inputs:
            parent = spots[source]
            for level in range(parent.level + 1, spot.level):
                holder = Spot(None, level, [parent], skips=seen_by[source] > 1)
                holders.append(holder)
                parent = holder
            spot.parents.append(parent)
    everything = spots + holders
    _arrange(everything)
    return everything


def _arrange(spots: list[Spot]) -> None:
    """Give every spot its x, level by level from the top."""
    by_level: dict[int, list[Spot]] = defaultdict(list)
    for spot in spots:
        by_level[spot.level].append(spot)
    for level in sorted(by_level):
        row = by_level[level]
        # Of equal wishes the box comes first, so that a passing edge runs on its right.
        row.sort(key=lambda spot: (spot.wish, spot.box is None, spot.name))
        right = None
        for spot in row:
            spot.x = spot.wish
            if right is not None:
                spot.x = max(spot.x, right + GAP_ACROSS + spot.width / 2)
            right = spot.x + spot.width / 2
        boxes = [s for s in row if s.box is not None] or row
        drift = sum(s.x - s.wish for s in boxes) / len(boxes)
        for spot in row:
            spot.x -= drift
    left = min(spot.x - spot.width / 2 for spot in spots)
    for spot in spots:
        spot.x -= left
