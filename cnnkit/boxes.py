"""Bounding boxes as arrays: overlap, suppression, conversions, letterbox, anchors.

A box is left, top, right, bottom in pixels (``xyxy``), float (n, 4); the edges lie between
pixels, so that a box over the first ten columns has left 0 and right 10, and its width is the
difference, without a +1. Empty and swapped boxes have area 0 and overlap nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# What suppression looks at in one go: this many candidates against what is kept already, then
# this many against each other, this many that lie together, and so many kept boxes at most.
BLOCK = 8192
SMALL_BLOCK = 1024
TOGETHER = 32
MAX_OVERLAPS = 1 << 15


# --- forms -------------------------------------------------------------------------------


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Return left, top, width, height of corners; float (..., 4) both."""
    boxes = np.asarray(boxes)
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def xywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of left, top, width, height; float (..., 4) both."""
    boxes = np.asarray(boxes)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_cxcywh(boxes: np.ndarray) -> np.ndarray:
    """Return center x, center y, width, height of corners; float (..., 4) both."""
    boxes = np.asarray(boxes)
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + sides / 2, sides], axis=-1)


def cxcywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of center x, center y, width, height; float (..., 4) both."""
    boxes = np.asarray(boxes)
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas in square pixels, (...), of boxes (..., 4); 0 where a side is negative."""
    boxes = np.asarray(boxes)
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def clip(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """Return the boxes cut at the borders of an image, (..., 4), of the same dtype."""
    boxes = np.asarray(boxes)
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, limits)


# --- overlap -----------------------------------------------------------------------------


def intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the common areas of boxes (..., 4) that broadcast, in square pixels."""
    first, second = np.asarray(first), np.asarray(second)
    left_top = np.maximum(first[..., :2], second[..., :2])
    sides = np.maximum(np.minimum(first[..., 2:], second[..., 2:]) - left_top, 0)
    return sides[..., 0] * sides[..., 1]


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union, 0 to 1; 0 where both boxes are empty.

    Args:
        first: Boxes (..., 4).
        second: Boxes (..., 4) that broadcast with them; ``iou(a[:, None], b)`` is a matrix.
    """
    common = intersection(first, second)
    return _ratio(common, area(first) + area(second) - common)


def generalized_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return IoU less the share of the enclosing box that neither covers, -1 to 1.

    Rezatofighi et al., "Generalized Intersection over Union", https://arxiv.org/abs/1902.09630.
    """
    common = intersection(first, second)
    union = area(first) + area(second) - common
    enclosing = area(enclosing_box(first, second))
    return _ratio(common, union) - _ratio(enclosing - union, enclosing)


def distance_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return IoU less the squared distance of the centers over the squared diagonal, -1 to 1.

    The diagonal is the enclosing box's. Zheng et al., "Distance-IoU Loss",
    https://arxiv.org/abs/1911.08287.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    outer = enclosing_box(first, second)
    diagonal = outer[..., 2:] - outer[..., :2]
    return iou(first, second) - _ratio((apart**2).sum(-1), (diagonal**2).sum(-1))


def complete_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distance IoU less a term for unlike proportions; see `distance_iou`.

    ``v = 4 / pi**2 * (atan(w1 / h1) - atan(w2 / h2))**2``, weighed by ``v / (1 - IoU + v)``.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    angles = [np.arctan2(*(b[..., 2:] - b[..., :2]).T).T for b in (first, second)]
    unlike = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    weight = _ratio(unlike, 1 - iou(first, second) + unlike)
    return distance_iou(first, second) - weight * unlike


def intersection_over_smaller(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over the smaller box's area, 0 to 1: 1 where one holds the other."""
    return _ratio(intersection(first, second), np.minimum(area(first), area(second)))


def enclosing_box(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the smallest boxes around both, (..., 4)."""
    first, second = np.asarray(first), np.asarray(second)
    left_top = np.minimum(first[..., :2], second[..., :2])
    return np.concatenate([left_top, np.maximum(first[..., 2:], second[..., 2:])], axis=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where the whole is nothing."""
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


# --- non-max suppression -----------------------------------------------------------------


def nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    groups: np.ndarray | None = None,
    limit: int | None = None,
) -> np.ndarray:
    """Return which boxes stay when each best one removes what overlaps it too much.

    Memory is bounded by the number of boxes: overlaps are looked at a block at a time.

    Args:
        boxes: Float (n, 4).
        scores: Float (n,).
        threshold: A box goes when its IoU with a better one that stays is above this.
        groups: Integers (n,): only boxes of one group remove each other. The classes make it
            per class; None lets all compete, whatever their class.
        limit: Keep at most this many.

    Returns:
        Their indices, int (kept,), best score first; among equals the lower index.
    """
    boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores)
    if groups is None:
        order = np.argsort(-scores, kind="stable")
        return _nms_of_one_group(boxes, order, threshold, limit)
    groups = np.asarray(groups)
    order = np.lexsort((-scores, groups))  # stable: equals keep their order
    borders = np.flatnonzero(np.diff(groups[order])) + 1
    parts = [_nms_of_one_group(boxes, p, threshold, limit) for p in np.split(order, borders)]
    kept = np.sort(np.concatenate(parts))
    return kept[np.argsort(-scores[kept], kind="stable")][:limit]


def _nms_of_one_group(
    boxes: np.ndarray, order: np.ndarray, threshold: float, limit: int | None
) -> np.ndarray:
    """Return the part of `order`, best first, that stays."""
    kept = order[:0]
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        free = block[~_overlapped(boxes, block, kept, threshold)]
        fresh = order[:0]
        for begin in range(0, len(free), SMALL_BLOCK):
            part = free[begin : begin + SMALL_BLOCK]
            part = part[~_overlapped(boxes, part, fresh, threshold)]
            removes = _iou_matrix(boxes[part], boxes[part]) > threshold
            fresh = np.concatenate([fresh, part[_greedy(removes)]])
        kept = np.concatenate([kept, fresh])
        if limit is not None and len(kept) >= limit:
            break
    return kept[:limit]


def _greedy(removes: np.ndarray) -> np.ndarray:
    """Return which rows stay, bool (n,), if each one that stays removes its later columns."""
    stays = np.ones(len(removes), bool)
    for row in np.flatnonzero(removes.sum(1) > 1):
        if stays[row]:
            stays[row + 1 :] &= ~removes[row, row + 1 :]
    return stays


def _iou_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return what ``iou(first[:, None], second)`` gives, faster: float64 (n, m)."""
    (left, top, right, bottom), others = first.T[:, :, None], second.T
    common = np.minimum(right, others[2])
    common -= np.maximum(left, others[0])
    np.maximum(common, 0, out=common)
    down = np.minimum(bottom, others[3])
    down -= np.maximum(top, others[1])
    common *= np.maximum(down, 0, out=down)
    np.add(area(first)[:, None], area(second), out=down)
    down -= common
    return np.divide(common, down, out=np.zeros_like(common), where=down > 0)


def _overlapped(
    boxes: np.ndarray, block: np.ndarray, kept: np.ndarray, threshold: float
) -> np.ndarray:
    """Return which of a block overlap a kept box too much, bool (block,).

    A box whose IoU with one of width w is above t has a width under w / t and a left edge from
    w * (1 - t) / t before to w * (1 - t) behind; the same holds down the image. So a few
    candidates that lie together are compared with the kept boxes near them only.

    Args:
        boxes: Float (n, 4).
        block: Indices of candidates.
        kept: Indices of boxes that stay.
        threshold: The IoU above which a candidate goes.
    """
    found = np.zeros(len(block), bool)
    if not len(kept):
        return found
    kept = kept[np.argsort(boxes[kept, 0], kind="stable")]
    corners = boxes[kept, :2]
    low, high = _reach(boxes[block], threshold)
    for rows in _neighbors(boxes[block, :2]):
        begin = np.searchsorted(corners[:, 0], low[rows, 0].min(), "left")
        end = np.searchsorted(corners[:, 0], high[rows, 0].max(), "right")
        tops = corners[begin:end, 1]
        is_near = (tops >= low[rows, 1].min()) & (tops <= high[rows, 1].max())
        near = kept[begin:end][is_near]
        for start in range(0, len(near), MAX_OVERLAPS):
            others = boxes[near[start : start + MAX_OVERLAPS]]
            found[rows] |= (_iou_matrix(boxes[block[rows]], others) > threshold).any(1)
    return found


def _reach(boxes: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return between which left and top edges boxes of a higher IoU lie, two (n, 2)."""
    behind = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) * (1 - threshold)
    before = behind / threshold if threshold > 0 else np.full(behind.shape, np.inf)
    slack = 1e-9 * (1 + np.abs(boxes[:, :2]) + behind)  # rounding must not hide a neighbor
    return boxes[:, :2] - before - slack, boxes[:, :2] + behind + slack


def _neighbors(points: np.ndarray) -> list[np.ndarray]:
    """Return the indices of points (n, 2) in groups of `TOGETHER` that lie near each other."""
    by_left = np.argsort(points[:, 0], kind="stable")
    columns = max(1, round(math.sqrt(len(points) / TOGETHER)))
    groups = []
    for column in np.array_split(by_left, columns):
        down = column[np.argsort(points[column, 1], kind="stable")]
        groups += np.split(down, range(TOGETHER, len(down), TOGETHER))
    return groups


# --- letterbox ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Letterbox:
    """How an image's pixels come to lie in the network's input: scaled, then moved.

    Attributes:
        scale_x: Input pixels for one of the image's, across.
        scale_y: The same, down; unlike `scale_x` by rounding, or where the image is stretched.
        left: Input column where the image begins.
        top: Input row where it begins.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float

    def to_input(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes of the image (..., 4) in pixels of the input."""
        return np.asarray(boxes, np.float64) * self._scale() + self._offset()

    def to_image(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes of the input (..., 4) in pixels of the image: the inverse."""
        return (np.asarray(boxes, np.float64) - self._offset()) / self._scale()

    def _scale(self) -> np.ndarray:
        return np.array([self.scale_x, self.scale_y] * 2)

    def _offset(self) -> np.ndarray:
        return np.array([self.left, self.top] * 2)


def letterbox_size(height: int, width: int, input_height: int, input_width: int) -> tuple[int, int]:
    """Return (height, width) of an image made as large as it fits, its proportions kept.

    The shorter side is cut off to whole pixels, as Darknet does it: an image that is one row
    higher than those that YOLOv3-tiny was trained on moves its scores by up to 0.1.
    """
    if input_width * height <= input_height * width:  # the width decides
        return max(1, height * input_width // width), input_width
    return input_height, max(1, width * input_height // height)


def letterbox(height: int, width: int, input_height: int, input_width: int) -> Letterbox:
    """Return the mapping that puts a whole image in the middle of the network's input."""
    rows, columns = letterbox_size(height, width, input_height, input_width)
    left, top = (input_width - columns) // 2, (input_height - rows) // 2
    return Letterbox(columns / width, rows / height, left, top)


# --- anchors -----------------------------------------------------------------------------


def letterboxed_sizes(
    sizes: np.ndarray, images: np.ndarray, input_height: int, input_width: int
) -> np.ndarray:
    """Return how large objects are in the network's input, float64 (n, 2), width and height.

    Anchors belong to this size: one found in the images' own pixels would be too large for a
    large image and too small for a small one.

    Args:
        sizes: Width and height of the boxes in pixels of their images (n, 2).
        images: Width and height of each one's image (n, 2).
        input_height: Rows of the network's input.
        input_width: Its columns.
    """
    images = np.asarray(images, np.float64)
    scale = (np.array([input_width, input_height]) / images).min(axis=1, keepdims=True)
    return np.asarray(sizes, np.float64) * scale


def size_iou(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the IoU (n, anchors) of sizes (n, 2) and anchors (m, 2) around one center."""
    sizes, anchors = np.asarray(sizes, np.float64), np.asarray(anchors, np.float64)
    common = np.minimum(sizes[:, None], anchors).prod(-1)
    return _ratio(common, sizes.prod(-1)[:, None] + anchors.prod(-1) - common)


def anchor_fit(sizes: np.ndarray, anchors: np.ndarray) -> float:
    """Return the mean over the sizes of the IoU with the best anchor, 0 to 1."""
    return float(np.mean(_in_blocks(sizes, lambda part: size_iou(part, anchors).max(1))))


def kmeans_anchors(sizes: np.ndarray, count: int, seed: int = 0, rounds: int = 300) -> np.ndarray:
    """Return anchors for objects: k-means with the distance 1 - IoU, by rising area.

    Redmon and Farhadi, "YOLO9000", https://arxiv.org/abs/1612.08242; begun as in k-means++.

    Args:
        sizes: Width and height in pixels of the network's input (n, 2), see `letterboxed_sizes`.
        count: How many anchors, from 1 to n.
        seed: Random seed for the initialization.
        rounds: At most this many.

    Returns:
        Width and height, float64 (count, 2).

    Raises:
        ValueError: There are fewer different sizes than anchors, or a side is not above 0.
    """
    sizes = np.asarray(sizes, np.float64).reshape(-1, 2)
    if not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise ValueError("`sizes` must be finite and above 0. Received: another value.")
    different = len(np.unique(sizes, axis=0))
    if not 1 <= count <= different:
        raise ValueError(
            f"`count` must be from 1 to the number of different sizes, {different}. "
            f"Received: {count}."
        )
    anchors = _first_anchors(sizes, count, np.random.default_rng(seed))
    nearest = np.full(len(sizes), -1)
    for _ in range(rounds):
        found = _in_blocks(sizes, lambda part: size_iou(part, anchors).argmax(1))  # noqa: B023
        if (found == nearest).all():
            break
        nearest = found
        members = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, sizes[:, i], count) for i in (0, 1)], axis=1)
        anchors = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], anchors)
    return anchors[np.argsort(anchors.prod(1), kind="stable")]


def _first_anchors(sizes: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return sizes far from each other, (count, 2): each drawn by its squared distance."""
    chosen = [sizes[random.integers(len(sizes))]]
    apart = np.ones(len(sizes))
    while len(chosen) < count:
        apart = np.minimum(apart, 1 - size_iou(sizes, chosen[-1][None])[:, 0])
        weights = np.maximum(apart, 0) ** 2
        chosen.append(sizes[random.choice(len(sizes), p=weights / weights.sum())])
    return np.array(chosen)


def _in_blocks(values: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return a function of (n, ...) applied to bounded parts, joined."""
    values = np.asarray(values)
    size = 1 << 16
    return np.concatenate(
        [function(values[start : start + size]) for start in range(0, max(1, len(values)), size)]
    )
