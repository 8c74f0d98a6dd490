"""The loss of SSD, in `keras.ops`: matching to default boxes, and hard negative mining.

Liu et al., "SSD: Single Shot MultiBox Detector", https://arxiv.org/abs/1512.02325.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from cnnkit.architectures.ssd import CENTER_VARIANCE, SIDE_VARIANCE
from cnnkit.losses.boxes import TINY, corners, intersection_over_union
from cnnkit.losses.yolo import LossParts, Truth

# A default box belongs to the true box that it overlaps most, if by at least this.
MATCH_FROM = 0.5
NEGATIVES_A_POSITIVE = 3


def match(defaults: Any, truth: Truth) -> tuple[Any, Any]:
    """Return which true box each default box belongs to.

    A true box always has the default box that overlaps it most; any other default box belongs to
    the true box that it overlaps most, if by at least 0.5.

    Args:
        defaults: Center x, center y, width, height as shares of the input, (defaults, 4).
        truth: The ground truth boxes.

    Returns:
        The place of the true box, int (batch, defaults), and 1 where there is one, float32
        (batch, defaults).
    """
    real = corners(truth.boxes)[:, None]  # (batch, 1, boxes, 4)
    overlap = intersection_over_union(corners(defaults)[None, :, None], real)
    valid = truth.valid[:, None]
    overlap = overlap * valid - (1 - valid)  # (batch, defaults, boxes); -1 for filling
    best = ops.argmax(overlap, axis=-1)
    positive = ops.max(overlap, axis=-1) >= MATCH_FROM
    favorite = ops.argmax(overlap, axis=1)[:, None]  # (batch, 1, boxes)
    places = ops.cast(ops.arange(ops.shape(overlap)[1]), favorite.dtype)[:, None]
    claims = ops.cast(ops.equal(places, favorite), "float32") * valid  # (batch, defaults, boxes)
    claimed, claimant = ops.max(claims, axis=-1), ops.argmax(claims, axis=-1)
    best = ops.where(claimed > 0, claimant, best)
    return best, ops.cast(ops.logical_or(positive, claimed > 0), "float32")


def encode(boxes: Any, defaults: Any) -> Any:
    """Return boxes as offsets from default boxes, both (..., 4) of center and sides."""
    centers = (boxes[..., :2] - defaults[..., :2]) / defaults[..., 2:] / CENTER_VARIANCE
    sides = ops.log(ops.maximum(boxes[..., 2:], TINY) / defaults[..., 2:]) / SIDE_VARIANCE
    return ops.concatenate([centers, sides], axis=-1)


def ssd_loss(offsets: Any, logits: Any, defaults: Any, truth: Truth) -> LossParts:
    """Return the loss of each image; times the batch over all matches, as the paper's.

    A matched default box costs the smooth L1 error of its four offsets and the cross-entropy of
    its class; of the others, the background costs only where it is most mistaken, three for
    each match.

    Args:
        offsets: float32 (batch, defaults, 4), see `encode`.
        logits: float32 (batch, defaults, 1 + classes); the first is the background.
        defaults: See `match`.
        truth: The ground truth boxes.

    Returns:
        ``box``, ``object`` (background) and ``classes``, divided by the mean number of matches
        of the batch's images, at least 1.
    """
    best, positive = match(defaults, truth)
    batch = ops.shape(offsets)[0]
    most = ops.shape(truth.boxes)[1]
    flat = best + ops.cast(ops.arange(batch)[:, None] * most, best.dtype)
    boxes = ops.take(ops.reshape(truth.boxes, (batch * most, 4)), flat, axis=0)
    classes = ops.take(ops.reshape(truth.classes, (batch * most,)), flat, axis=0)

    error = ops.abs(offsets - encode(boxes, defaults))
    smooth = ops.where(error < 1, error**2 / 2, error - 0.5)
    log_shares = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
    right = ops.one_hot(classes + 1, logits.shape[-1])
    class_cost = -ops.sum(right * log_shares, axis=-1)
    background = -log_shares[..., 0]
    negatives = NEGATIVES_A_POSITIVE * ops.maximum(ops.sum(positive, axis=1, keepdims=True), 1)
    hard = ops.stop_gradient(background * (1 - positive))
    rank = ops.argsort(ops.argsort(-hard, axis=1), axis=1)
    chosen = ops.cast(ops.cast(rank, "float32") < negatives, "float32") * (1 - positive)
    matches = ops.maximum(ops.sum(positive) / ops.cast(batch, "float32"), 1.0)
    return LossParts(
        ops.sum(positive * ops.sum(smooth, axis=-1), axis=1) / matches,
        ops.sum(chosen * background, axis=1) / matches,
        ops.sum(positive * class_cost, axis=1) / matches,
    )
