"""Which cells of a detector without anchors learn which true box, in `keras.ops`.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", https://arxiv.org/abs/2108.07755: a
true box is learned by the cells that already know it best, by score and by overlap together, so
that the surest box of an object becomes the best-placed one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from cnnkit.losses.boxes import intersection_over_union

# The alignment of a cell and a true box is score**1 * IoU**6, as in the paper.
OVERLAP_POWER = 6
CELLS_A_BOX = 13
# The best cell of a true box has at least this target, so that a box that no cell overlaps yet
# is learned all the same.
LEAST_TARGET = 0.1
# Keeps the alignments of such a box comparable; far below that of any cell that overlaps it.
FAINT = 1e-12


class Assignment(NamedTuple):
    """What each cell is to learn.

    Attributes:
        box: The place of its true box, int (batch, cells).
        target: What its score should be, float32 (batch, cells), 0 to 1; 0 where the cell has
            no true box.
    """

    box: Any
    target: Any


def task_aligned(
    scores: Any, boxes: Any, middles: Any, strides: Any, real: Any, valid: Any
) -> Assignment:
    """Assign true boxes to cells.

    A cell is a candidate for a true box that its middle lies in. A box narrower or lower than a
    cell counts as a cell wide or high there, so that it has a candidate at every stride. Its 13
    best-aligned candidates learn it; a cell that several boxes choose learns the one that it
    overlaps most. The targets of a box's cells are in proportion to their alignments, and the
    highest of them is the highest IoU of the box's cells.

    Args:
        scores: Scores of each true box's class, float32 (batch, boxes, cells), 0 to 1.
        boxes: Predicted corners in pixels of the input (batch, cells, 4).
        middles: Middles of the cells in pixels (cells, 2).
        strides: Width and height of the cells in pixels (cells,).
        real: Corners of the true boxes in pixels (batch, boxes, 4).
        valid: 1 for a true box, 0 for what only fills up, float32 (batch, boxes).

    Returns:
        The assignment; no gradient flows through it.
    """
    overlap = intersection_over_union(boxes[:, None], real[:, :, None])  # (batch, boxes, cells)
    candidate = _candidates(middles, strides, real) * valid[..., None]
    alignment = (scores * overlap**OVERLAP_POWER + FAINT) * candidate
    least = ops.min(ops.top_k(alignment, CELLS_A_BOX)[0], axis=-1, keepdims=True)
    chosen = candidate * ops.cast(alignment >= least, "float32")
    # Of several boxes the one that the cell overlaps most; -1 where a box did not choose it.
    box = ops.argmax(chosen * (1 + overlap) - 1, axis=1)  # (batch, cells)
    mine = chosen * ops.cast(ops.equal(_places(real), ops.expand_dims(box, 1)), "float32")
    mine_alignment = alignment * mine
    highest = ops.max(mine_alignment, axis=-1, keepdims=True)
    best = ops.max(overlap * mine, axis=-1, keepdims=True)
    target = mine_alignment / ops.maximum(highest, FAINT) * ops.maximum(best, LEAST_TARGET)
    return Assignment(ops.stop_gradient(box), ops.stop_gradient(ops.sum(target, axis=1)))


def _candidates(middles: Any, strides: Any, real: Any) -> Any:
    """Return 1 where a cell's middle lies in a true box, float32 (batch, boxes, cells)."""
    centers = (real[..., :2] + real[..., 2:])[:, :, None] / 2
    sides = (real[..., 2:] - real[..., :2])[:, :, None]
    half = ops.maximum(sides, strides[:, None]) / 2  # (batch, boxes, cells, 2)
    inside = ops.all(ops.abs(middles - centers) <= half, axis=-1)
    return ops.cast(inside, "float32")


def _places(real: Any) -> Any:
    """Return the numbers of the true boxes, (1, boxes, 1)."""
    return ops.arange(ops.shape(real)[1], dtype="int32")[None, :, None]
