"""Overlap of boxes in `keras.ops`, for losses; `cnnkit.boxes` has the same for NumPy."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

TINY = 1e-9


def corners(boxes: Any) -> Any:
    """Return left, top, right, bottom of center x, center y, width, height; (..., 4) both."""
    centers, half = boxes[..., :2], boxes[..., 2:] / 2
    return ops.concatenate([centers - half, centers + half], axis=-1)


def intersection_over_union(first: Any, second: Any) -> Any:
    """Return the IoU, 0 to 1, of corners (..., 4) that broadcast; 0 for empty boxes."""
    common, union = _common_and_union(first, second)
    return common / (union + TINY)


def generalized_iou(first: Any, second: Any) -> Any:
    """Return the generalized IoU of corners (..., 4) that broadcast, over -1 and at most 1.

    Rezatofighi et al., "Generalized Intersection over Union", https://arxiv.org/abs/1902.09630:
    IoU, less the share of the enclosing box that neither of them covers.
    """
    common, union = _common_and_union(first, second)
    low = ops.minimum(first[..., :2], second[..., :2])
    sides = ops.maximum(first[..., 2:], second[..., 2:]) - low
    enclosing = sides[..., 0] * sides[..., 1]
    return common / (union + TINY) - (enclosing - union) / (enclosing + TINY)


def complete_iou(first: Any, second: Any) -> Any:
    """Return the complete IoU of corners (..., 4) that broadcast, at most 1.

    Zheng et al., "Distance-IoU Loss", https://arxiv.org/abs/1911.08287: IoU, less the squared
    distance of the centers over the squared diagonal of the enclosing box, less ``a * v`` with
    ``v = 4 / pi**2 * (atan(w2 / h2) - atan(w1 / h1))**2`` and ``a = v / (1 - IoU + v)``, which
    has no gradient.
    """
    common, union = _common_and_union(first, second)
    overlap = common / (union + TINY)
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    low = ops.minimum(first[..., :2], second[..., :2])
    diagonal = ops.maximum(first[..., 2:], second[..., 2:]) - low
    distance = ops.sum(apart**2, axis=-1) / (ops.sum(diagonal**2, axis=-1) + TINY)
    angles = [_angle(boxes) for boxes in (first, second)]
    unlike = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    weight = ops.stop_gradient(unlike / (1 - overlap + unlike + TINY))
    return overlap - distance - weight * unlike


def _angle(boxes: Any) -> Any:
    sides = boxes[..., 2:] - boxes[..., :2]
    return ops.arctan2(sides[..., 0], ops.maximum(sides[..., 1], TINY))


def _common_and_union(first: Any, second: Any) -> tuple[Any, Any]:
    low = ops.maximum(first[..., :2], second[..., :2])
    sides = ops.maximum(ops.minimum(first[..., 2:], second[..., 2:]) - low, 0.0)
    common = sides[..., 0] * sides[..., 1]
    return common, _area(first) + _area(second) - common


def _area(boxes: Any) -> Any:
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]
