"""Rectangles of the cascade: those of the proposal network's cells, their repair, their crops.

A rectangle is left, top, right, bottom in pixels, float (n, 4); the edges lie between pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from cnnkit.faces.pyramid import STRIDE, WINDOW, Piece
from cnnkit.results import Face


def cell_rectangles(
    piece: Piece, scores: np.ndarray, offsets: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the windows of a piece that may hold a face, on the image.

    Args:
        piece: Where they lie.
        scores: Probability of a face, float32 (rows, columns), of the piece's windows.
        offsets: float32 (rows, columns, 4) of the same windows.
        threshold: A window's score must be above it.

    Returns:
        Rectangles (n, 4), scores (n,), offsets (n, 4).
    """
    rows, columns = np.nonzero(scores > threshold)
    left = (piece.left + STRIDE * columns) / piece.scale_x
    top = (piece.top + STRIDE * rows) / piece.scale_y
    right, bottom = left + WINDOW / piece.scale_x, top + WINDOW / piece.scale_y
    rectangles = np.stack([left, top, right, bottom], axis=1)
    return rectangles, scores[rows, columns], offsets[rows, columns]


def moved(rectangles: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Move every edge by its offset, in sides of the rectangle; (n, 4)."""
    sides = rectangles[:, 2:] - rectangles[:, :2]  # (n, 2)
    return rectangles + offsets * np.tile(sides, 2)


def squared(rectangles: np.ndarray) -> np.ndarray:
    """Return squares of whole pixels with the same centers and the longer sides; (n, 4)."""
    sides = rectangles[:, 2:] - rectangles[:, :2]
    side = np.maximum(1, np.round(sides.max(axis=1)))[:, None]
    corner = np.round((rectangles[:, :2] + rectangles[:, 2:] - side) / 2)
    return np.concatenate([corner, corner + side], axis=1)


def suppressed(
    rectangles: np.ndarray, scores: np.ndarray, threshold: float, of_smaller: bool = False
) -> np.ndarray:
    """Return which rectangles stay when each best one removes those that overlap it too much.

    Args:
        rectangles: (n, 4).
        scores: (n,).
        threshold: Threshold of the overlap, 0 to 1.
        of_smaller: Whether the overlap is the share of the smaller rectangle, not of the union:
            then a face inside another one goes as well.

    Returns:
        Indices, best first.
    """
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(rectangles[:, 2:] - rectangles[:, :2], axis=1)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(rectangles[rest, :2], rectangles[best, :2])
        high = np.minimum(rectangles[rest, 2:], rectangles[best, 2:])
        common = np.maximum(high - low, 0).prod(axis=1)
        whole = np.minimum(areas[rest], areas[best])
        if not of_smaller:
            whole = areas[rest] + areas[best] - common
        order = rest[common <= threshold * whole]
    return np.array(kept, np.intp)


def crops(image: np.ndarray, squares: np.ndarray, side: int) -> np.ndarray:
    """Cut squares out of an image, black where they reach beyond it, and resize them.

    Args:
        image: uint8 (height, width, 3).
        squares: Squares of whole pixels, (n, 4).
        side: Side of the crops.

    Returns:
        uint8 (n, side, side, 3).
    """
    found = np.zeros((len(squares), side, side, 3), np.uint8)
    for index, (left, top, right, bottom) in enumerate(squares.astype(int)):
        cut = inside(image, left, top, right, bottom)
        cv2.resize(cut, (side, side), dst=found[index], interpolation=cv2.INTER_AREA)
    return found


def inside(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Return a rectangle of an image, black where it reaches beyond it."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return image[top:bottom, left:right]
    cut = np.zeros((bottom - top, right - left, 3), np.uint8)
    x, y = max(0, left), max(0, top)
    part = image[y : max(y, bottom), x : max(x, right)]
    cut[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    return cut


def faces_of(boxes: np.ndarray, scores: np.ndarray, marks: np.ndarray) -> list[Face]:
    """Return faces, the largest first."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    faces = []
    for i in np.argsort(-areas, kind="stable"):
        left, top, right, bottom = map(float, boxes[i])
        landmarks = tuple((float(x), float(y)) for x, y in marks[i])
        score = min(1.0, float(scores[i]))
        faces.append(Face(xyxy=(left, top, right, bottom), score=score, landmarks=landmarks))
    return faces
