"""Overlapping tiles of large images, for small objects, and one list of what they show.

Akyon, Altinuc and Temizel, "Slicing Aided Hyper Inference", https://arxiv.org/abs/2202.06934;
here all tiles are of one size, and the whole image is always looked at as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnkit import boxes
from cnnkit.detection.candidates import Candidates

OVERLAP = 0.2  # of a tile's side, at least
# A box that a tile's border cuts is joined with one that shares this much of the smaller one.
MERGE_OVERLAP = 0.5
# Pixels from a tile's border within which a box counts as cut by it, as a part of the side.
BORDER = 0.01


class TileWindow(NamedTuple):
    """A tile: rows top to bottom and columns left to right of the image, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int

    def cuts(self, found: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return which boxes end at a border of the tile that is none of the image's.

        Args:
            found: Boxes in pixels of the tile (n, 4).
            height: Height of the image.
            width: Width of the image.

        Returns:
            bool (n,).
        """
        across, down = self.right - self.left, self.bottom - self.top
        near = BORDER * max(across, down)
        return (
            ((found[:, 0] < near) & (self.left > 0))
            | ((found[:, 1] < near) & (self.top > 0))
            | ((found[:, 2] > across - near) & (self.right < width))
            | ((found[:, 3] > down - near) & (self.bottom < height))
        )


class Tiles(NamedTuple):
    """What all tiles show, in pixels of the image.

    Attributes:
        found: The candidates.
        cut: Which are cut by a tile's border, bool (n,).
        groups: Only boxes of one group compete, int (n,).
    """

    found: Candidates
    cut: np.ndarray
    groups: np.ndarray


def tile_windows(height: int, width: int, side: int) -> list[TileWindow]:
    """Return the tiles of an image: of one size, evenly apart, overlapping by `OVERLAP`.

    An image that fits in one tile has none: the whole is looked at anyway.
    """
    rows, columns = (_starts(length, side) for length in (height, width))
    if len(rows) == len(columns) == 1:
        return []
    return [
        TileWindow(left, top, min(width, left + side), min(height, top + side))
        for top in rows
        for left in columns
    ]


def _starts(length: int, side: int) -> list[int]:
    """Return where tiles of a side begin so that they cover a length evenly."""
    if length <= side:
        return [0]
    step = side * (1 - OVERLAP)
    count = int(np.ceil((length - side) / step)) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def merged(tiles: Tiles, threshold: float, overlap: float) -> Candidates:
    """Return each object once, best score first.

    As in non-max suppression the best box removes those of its group that overlap it by more
    than `threshold`. Where one of the two is cut by a tile's border and they share more than
    `overlap` of the smaller one, they are parts of one object: the box that stays grows around
    both.
    """
    found, cut, groups = tiles
    all_boxes, cut = np.array(found.boxes, np.float64), cut.copy()
    left = np.argsort(-found.scores, kind="stable")
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        rivals = left[groups[left] == groups[best]]
        parts = (cut[rivals] | cut[best]) & (
            boxes.intersection_over_smaller(all_boxes[best], all_boxes[rivals]) > overlap
        )
        same = parts | (boxes.iou(all_boxes[best], all_boxes[rivals]) > threshold)
        if parts.any():
            joined = all_boxes[[best, *rivals[parts]]]
            grown = np.concatenate([joined[:, :2].min(0), joined[:, 2:].max(0)])
            if (grown != all_boxes[best]).any():  # it may reach further boxes now
                all_boxes[best] = grown
                left = np.concatenate([[best], np.setdiff1d(left, rivals[same], True)])
                left = left[np.argsort(-found.scores[left], kind="stable")]
                continue
        kept.append(int(best))
        left = left[~np.isin(left, rivals[same])]
    order = np.array(kept, np.intp)
    return Candidates(all_boxes[order], found.scores[order], found.classes[order])
