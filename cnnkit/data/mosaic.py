"""Mosaics: four images with their boxes put together as one.

Bochkovskiy et al., "YOLOv4", https://arxiv.org/abs/2004.10934: objects at new sizes, in new
company, four times as many a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cnnkit.images.prepare import PAD_VALUE

# Where the four images meet, as shares of a side; and how large each one is drawn.
MIDDLE = (0.35, 0.65)
SCALE = (0.4, 0.9)
# A box of which a tile leaves less than this share is dropped, as in an augmented image.
MIN_VISIBLE_SHARE = 0.25


class BoxedImage(NamedTuple):
    """An image with boxes.

    Attributes:
        pixels: uint8 RGB (height, width, 3).
        boxes: float32 (n, 4): left, top, right, bottom in pixels.
        classes: int32 (n,).
    """

    pixels: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


def mosaic(tiles: Sequence[BoxedImage], random: np.random.Generator) -> BoxedImage:
    """Put four images of one size around a point near the middle of a new one of that size.

    Each is scaled by a factor of its own and touches the point with a corner; what goes over
    the edge is cut off, what stays empty is gray.

    Args:
        tiles: Four images of one size.
        random: Draws the point and the scales.
    """
    height, width = tiles[0].pixels.shape[:2]
    canvas = np.full((height, width, 3), PAD_VALUE, np.uint8)
    middle = (random.uniform(*MIDDLE, 2) * (width, height)).round().astype(int)
    boxes, classes = [], []
    for number, tile in enumerate(tiles):
        scale = random.uniform(*SCALE)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        corner = (
            middle[0] - (size[0] if number % 2 == 0 else 0),
            middle[1] - (size[1] if number < 2 else 0),
        )
        area = _quadrant(number, middle, width, height)
        _paste(canvas, cv2.resize(tile.pixels, size, interpolation=cv2.INTER_AREA), corner, area)
        factors = np.array([size[0] / width, size[1] / height] * 2, np.float32)
        moved = tile.boxes * factors + np.array(corner * 2, np.float32)
        cut, kept = cut_boxes(moved, area)
        boxes.append(cut)
        classes.append(tile.classes[kept])
    return BoxedImage(canvas, np.concatenate(boxes), np.concatenate(classes))


def _quadrant(
    number: int, middle: np.ndarray, width: int, height: int
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the part of the canvas that a tile may fill."""
    left, right = (0, middle[0]) if number % 2 == 0 else (middle[0], width)
    top, bottom = (0, middle[1]) if number < 2 else (middle[1], height)
    return int(left), int(top), int(right), int(bottom)


def _paste(
    canvas: np.ndarray,
    pixels: np.ndarray,
    corner: tuple[int, int],
    area: tuple[int, int, int, int],
) -> None:
    """Put pixels at a corner, as far as they lie in the area."""
    left, top = max(corner[0], area[0]), max(corner[1], area[1])
    right = min(corner[0] + pixels.shape[1], area[2])
    bottom = min(corner[1] + pixels.shape[0], area[3])
    if right > left and bottom > top:
        canvas[top:bottom, left:right] = pixels[
            top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]
        ]


def cut_boxes(boxes: np.ndarray, area: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes cut to an area, float32 (kept, 4), and which ones are left, int (kept,).

    Args:
        boxes: Left, top, right, bottom (n, 4).
        area: Left, top, right, bottom.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    cut = np.clip(boxes, np.array(area[:2] * 2), np.array(area[2:] * 2)).astype(np.float32)
    sides, before = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    share = sides.prod(1) / np.maximum(before.prod(1), 1e-9)
    kept = np.flatnonzero((sides.min(1) > 1) & (share >= MIN_VISIBLE_SHARE))
    return cut[kept], kept
