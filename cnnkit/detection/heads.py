"""What the decoders of imported networks share: reading outputs, units of boxes, sound candidates.

Such networks come from other projects, so their outputs are checked where they are used: an output
that is missing, of another shape, or not what the card says is refused with what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnkit.detection.candidates import Candidates
from cnnkit.errors import BundleError, broken_rule

# Rounding in half precision; beyond it a number is no score.
SCORE_SLACK = 1e-2


def output_of(outputs: Mapping[str, np.ndarray], name: str, dimensions: int) -> np.ndarray:
    """Return one output, without the batch.

    Args:
        outputs: The raw outputs by name.
        name: The output that the card names.
        dimensions: How many it must have; leading ones of size 1 are dropped until it has.

    Raises:
        BundleError: The network has no such output, or it has another number of dimensions.
    """
    if name not in outputs:
        rule = f"have the output {name!r}, which its card names"
        raise BundleError(broken_rule("the network", rule, ", ".join(outputs) or "none"))
    raw = outputs[name]
    while raw.ndim > dimensions and raw.shape[0] == 1:
        raw = raw[0]
    if raw.ndim != dimensions:
        rule = f"have {dimensions} dimensions without the batch"
        raise BundleError(broken_rule(name, rule, shape_text(raw.shape)))
    return raw


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape for a message: ``1 x 84 x 8400``; an unknown side is ``?``."""
    return " x ".join("?" if side is None else str(side) for side in shape) or "one number"


def wanted(scores: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the class of each score that is wanted.

    Args:
        scores: Float (n, classes). A row with a NaN gives none.
        least: The lowest wanted score of each class (classes,).
    """
    hopeful = np.flatnonzero(scores.max(axis=1, initial=-np.inf) >= least.min(initial=np.inf))
    rows, classes = np.nonzero(scores[hopeful] >= least)
    return hopeful[rows], classes


def sound(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, name: str) -> Candidates:
    """Return candidates without those that have a number that is not finite.

    Args:
        boxes: Left, top, right, bottom in pixels of the input (n, 4).
        scores: Float (n,).
        classes: Int (n,).
        name: The output that the scores come from, for the message.

    Raises:
        BundleError: A score is above 1: these are no scores.
    """
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    if not finite.all():
        boxes, scores, classes = boxes[finite], scores[finite], classes[finite]
    highest = scores.max(initial=0.0)
    if highest > 1 + SCORE_SLACK:
        fix = "The network's outputs are not those of the card's `detector` section."
        raise BundleError(broken_rule(name, "hold scores from 0 to 1", f"{highest:g}", fix))
    return Candidates(boxes.astype(np.float64, copy=False), np.minimum(scores, 1), classes)


def corners(centers: np.ndarray) -> np.ndarray:
    """Return left, top, right, bottom of center x, center y, width, height, float64 (n, 4)."""
    middles, half = centers[:, :2].astype(np.float64), centers[:, 2:4].astype(np.float64) / 2
    with np.errstate(invalid="ignore"):  # what is not finite gives no box
        return np.concatenate([middles - half, middles + half], axis=1)


def largest(values: np.ndarray) -> float:
    """Return the largest of some numbers that is finite, -inf if there is none."""
    return float(np.max(values, initial=-np.inf, where=np.isfinite(values)))


def dense_scale(centers: np.ndarray, unit: str, size: np.ndarray) -> np.ndarray:
    """Return what brings boxes to pixels of the input, float64 (4,): ones, or the input's sides.

    Args:
        centers: Center x and center y of the boxes of all cells (n, 2). Cells lie all over the
            input, so that their centers say what they are measured in.
        unit: ``pixels``, ``normalized``, or ``auto``: as the centers say.
        size: Width and height of the input.
    """
    sides = np.concatenate([size, size]).astype(np.float64)
    if unit == "auto":
        is_small = largest(centers) <= max(2.0, sides.min() / 8)
        unit = "normalized" if is_small else "pixels"
    return sides if unit == "normalized" else np.ones(4)


def grid_cells(size: tuple[int, int], strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and row of each cell, float64 (n, 2), and its stride, (n,).

    Cells are in the order of networks: level by level, row by row.

    Args:
        size: Height and width of the input; a last cell may reach over its border.
        strides: Pixels of the input a cell, level by level.
    """
    places, widths = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        places.append(np.stack([x, y], axis=1))
        widths.append(np.full(rows * columns, stride))
    return np.concatenate(places).astype(np.float64), np.concatenate(widths).astype(np.float64)


def class_numbers(values: np.ndarray, classes: int, name: str, first: int = 0) -> np.ndarray:
    """Return class numbers that an output gives as floats, counted from 0, int (n,).

    Args:
        values: Finite floats (n,).
        classes: How many classes there are.
        name: The output, for the message.
        first: The number of the first class.

    Raises:
        BundleError: One is no whole number, or none of the classes.
    """
    wrong = values[(values < first) | (values >= first + classes) | (values != np.rint(values))]
    if len(wrong):
        rule = f"give classes from {first} to {first + classes - 1}"
        raise BundleError(broken_rule(name, rule, f"{wrong[0]:g}"))
    return values.astype(np.int64) - first
