"""The loss of NanoDet, in `keras.ops`: the generalized focal loss.

Li et al., "Generalized Focal Loss", https://arxiv.org/abs/2006.04388: a score is to be as high as
its box is good, and the distance to each side is a distribution over bins. Which cells learn is
decided by `cnnkit.losses.assignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from cnnkit.architectures.nanodet import BINS, boxes_around, cell_middles, expected_distances
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.losses.assignment import task_aligned
from cnnkit.losses.boxes import corners, generalized_iou
from cnnkit.losses.yolo import LossParts, Truth

# What the overlap and the distributions count for beside the scores, as in the paper.
OVERLAP_GAIN = 2.0
DISTRIBUTION_GAIN = 0.25
# A distance beyond the last bin is learned as one just within it, between two bins.
FARTHEST = BINS - 1 - 0.01


def quality_focal(logits: Any, targets: Any) -> Any:
    """Return what scores cost that should be as high as their boxes are good, elementwise.

    ``|target - p|**2`` times the binary cross-entropy of ``p`` and the target, with ``p`` the
    sigmoid of the logit.

    Args:
        logits: float32, any shape.
        targets: Of the same shape, 0 to 1.
    """
    distance = targets - ops.sigmoid(logits)
    return distance**2 * (ops.softplus(logits) - logits * targets)


def distribution_focal(logits: Any, distances: Any) -> Any:
    """Return what distributions cost whose mass should lie in the two bins beside a distance.

    Args:
        logits: float32 (..., BINS).
        distances: In bins (...), clipped to those there are.

    Returns:
        Cross-entropy in nats (...): of the two bins, each weighted by how near it is.
    """
    distances = ops.clip(distances, 0.0, FARTHEST)
    weights = ops.maximum(
        1 - ops.abs(distances[..., None] - ops.arange(BINS, dtype="float32")), 0.0
    )
    # The weights sum to one, so the logarithm that normalizes the shares counts once.
    return ops.logsumexp(logits, axis=-1) - ops.sum(weights * logits, axis=-1)


def nanodet_loss(outputs: Sequence[Any], heads: Sequence[HeadSpec], truth: Truth) -> LossParts:
    """Return the loss of each image; its mean over the batch is the paper's.

    Every cell costs the quality focal loss of each class. A cell with a true box also costs, times
    its target, twice 1 - generalized IoU, and a quarter of the distribution focal loss, the mean
    of its four sides.

    Args:
        outputs: The raw heads, (batch, rows, columns, classes + 4 * BINS) each; see
            `cnnkit.architectures.nanodet`.
        heads: What each one is.
        truth: The ground truth boxes.

    Returns:
        ``box``, ``object`` (cells without a box) and ``classes`` (cells with one), divided by the
        mean sum of targets of the batch's images, at least one target in the batch.
    """
    rows, columns = ops.shape(outputs[0])[1:3]
    sides = ops.cast(ops.stack([columns, rows]) * heads[0].stride, "float32")  # width, height
    real = corners(truth.boxes * ops.concatenate([sides, sides]))
    middles, strides, raw = _cells(outputs, heads)
    # Slices would each fill a gradient of the whole width with zeros.
    logits, bins = ops.split(raw, [raw.shape[-1] - 4 * BINS], axis=-1)
    boxes = boxes_around(middles, expected_distances(bins) * strides[:, None])
    classes = ops.one_hot(truth.classes, logits.shape[-1])  # (batch, boxes, classes)
    scores = ops.einsum("bck,bnk->bnc", ops.sigmoid(logits), classes)
    box, target = task_aligned(scores, boxes, middles, strides, real, truth.valid)

    real, classes = _of_cells(real, box), _of_cells(classes, box)
    quality = ops.sum(quality_focal(logits, classes * target[..., None]), axis=-1)
    overlap = 1 - generalized_iou(boxes, real)
    reach = ops.concatenate([middles - real[..., :2], real[..., 2:] - middles], axis=-1)
    shape = (*ops.shape(box), 4, BINS)
    bins = ops.reshape(bins, shape)
    spread = ops.mean(distribution_focal(bins, reach / strides[:, None]), axis=-1)
    positive = ops.cast(target > 0, "float32")
    mean = ops.maximum(ops.sum(target), 1.0) / ops.cast(ops.shape(box)[0], "float32")
    box_cost = target * (OVERLAP_GAIN * overlap + DISTRIBUTION_GAIN * spread)
    return LossParts(
        ops.sum(box_cost, axis=1) / mean,
        ops.sum((1 - positive) * quality, axis=1) / mean,
        ops.sum(positive * quality, axis=1) / mean,
    )


def _cells(outputs: Sequence[Any], heads: Sequence[HeadSpec]) -> tuple[Any, Any, Any]:
    """Return all heads' cells in one row.

    Returns:
        Middles (cells, 2) and strides (cells,) in pixels of the input, and raw outputs
        (batch, cells, classes + 4 * BINS).
    """
    parts = []
    for raw, head in zip(outputs, heads, strict=True):
        batch, rows, columns = ops.shape(raw)[:3]
        middles = ops.reshape(cell_middles(rows, columns, head.stride), (-1, 2))
        strides = ops.full((rows * columns,), float(head.stride), "float32")
        flat = ops.reshape(raw, (batch, -1, raw.shape[-1]))
        parts.append((middles, strides, flat))
    middles, strides, raw = zip(*parts, strict=True)
    return (
        ops.concatenate(middles, axis=0),
        ops.concatenate(strides, axis=0),
        ops.concatenate(raw, axis=1),
    )


def _of_cells(values: Any, box: Any) -> Any:
    """Return what each cell's true box has, (batch, cells, n), of (batch, boxes, n)."""
    batch, most, width = ops.shape(values)
    flat = box + ops.cast(ops.arange(batch)[:, None] * most, box.dtype)
    return ops.take(ops.reshape(values, (batch * most, width)), flat, axis=0)
