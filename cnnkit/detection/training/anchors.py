"""Advice about anchors: how well the usual ones fit the boxes, and which would fit better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.boxes import anchor_fit, kmeans_anchors

# The six of YOLOv3-tiny and the nine of YOLOv3 at 416, by rising area.
DEFAULTS = {
    6: ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319)),
    9: (
        *((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119)),
        *((116, 90), (156, 198), (373, 326)),
    ),
}
DEFAULT_SIDE = 416
# k-means is taken where its mean IoU is higher by this: a little more is no reason to leave what
# the pretrained heads know.
CLEARLY_BETTER = 0.05


@dataclass(frozen=True)
class AnchorAdvice:
    """Anchors for a set of boxes.

    Attributes:
        anchors: Chosen, (n, 2) width and height in pixels of the input, by rising area.
        chosen: ``default`` or ``kmeans``.
        default_fit: Mean IoU of the boxes with the best of the default anchors.
        kmeans_fit: The same for those of k-means; None if there are too few boxes.
    """

    anchors: tuple[tuple[float, float], ...]
    chosen: str
    default_fit: float
    kmeans_fit: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the advice for the card and the report."""
        return {
            "anchors": [list(pair) for pair in self.anchors],
            "chosen": self.chosen,
            "default_fit": round(self.default_fit, 4),
            "kmeans_fit": None if self.kmeans_fit is None else round(self.kmeans_fit, 4),
        }


def advise(sizes: np.ndarray, count: int, side: int, choice: str, seed: int = 0) -> AnchorAdvice:
    """Choose anchors.

    Args:
        sizes: Width and height of the boxes in pixels of the input (n, 2).
        count: A key of `DEFAULTS`.
        side: Side of the square input.
        choice: ``default``, ``kmeans``, or ``auto``: k-means where clearly better.
        seed: Random seed for k-means.
    """
    usual = np.array(DEFAULTS[count], np.float64) * side / DEFAULT_SIDE
    sizes = np.asarray(sizes, np.float64).reshape(-1, 2)
    sizes = sizes[(sizes > 0).all(1)]
    default_fit = anchor_fit(sizes, usual) if len(sizes) else 0.0
    found, kmeans_fit = None, None
    if len(np.unique(sizes, axis=0)) >= count:
        found = kmeans_anchors(sizes, count, seed)
        kmeans_fit = anchor_fit(sizes, found)
    better = kmeans_fit is not None and kmeans_fit > default_fit + CLEARLY_BETTER
    if found is not None and (choice == "kmeans" or (choice == "auto" and better)):
        return AnchorAdvice(_pairs(found), "kmeans", default_fit, kmeans_fit)
    return AnchorAdvice(_pairs(usual), "default", default_fit, kmeans_fit)


def _pairs(anchors: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(w), 2), round(float(h), 2)) for w, h in anchors)


def by_head(
    anchors: Sequence[tuple[float, float]], strides: Sequence[int]
) -> dict[int, tuple[tuple[float, float], ...]]:
    """Return the anchors of each stride: the smallest ones for the finest.

    Every head has anchors of its own. (The official weights of YOLOv3-tiny share one between
    their heads, and have none for the smallest things.)
    """
    each = len(anchors) // len(strides)
    return {
        stride: tuple(anchors[place * each : (place + 1) * each])
        for place, stride in enumerate(sorted(strides))
    }
