"""What a detector gets wrong: thresholds, the confusion of classes, the worst images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnkit.boxes import iou, xywh_to_xyxy
from cnnkit.detection.average_precision import (
    BoxFigures,
    FoundBoxes,
    Matches,
    TrueBoxes,
    best_threshold,
)
from cnnkit.formats import AnnotatedImage
from cnnkit.results import path_fields

# From this overlap on a detection and a true box are about the same thing.
SAME_FROM = 0.5
WORST = 24
# A rare class may have its highest F1 at next to nothing; what that lets in hides everything else.
LEAST_SHOWN = 0.05


class Pairing(NamedTuple):
    """Which detections of an image belong to which true boxes, whatever their classes.

    Attributes:
        true: int (pairs,): places of true boxes.
        found: int (pairs,): places of their detections.
        missed: int: places of true boxes without a detection.
        invented: int: places of detections without a true box.
    """

    true: np.ndarray
    found: np.ndarray
    missed: np.ndarray
    invented: np.ndarray


def pair(truth: TrueBoxes, found: FoundBoxes) -> Pairing:
    """Pair true boxes and detections of one image by overlap, the largest first.

    Pairs of one class go before others. What does not count, and what lies in it, is neither
    missed nor invented.
    """
    overlap = iou(xywh_to_xyxy(truth.boxes)[:, None], xywh_to_xyxy(found.boxes))
    same = truth.classes[:, None] == found.classes
    counted = ~(truth.crowd | truth.ignored)
    pairs: list[tuple[int, int]] = []
    for wanted in (same, ~same):
        rows, columns = np.nonzero((overlap >= SAME_FROM) & wanted & counted[:, None])
        order = np.argsort(-overlap[rows, columns], kind="stable")
        for row, column in zip(rows[order], columns[order], strict=True):
            if all(row != r and column != c for r, c in pairs):
                pairs.append((int(row), int(column)))
    taken_rows, taken_columns = [p[0] for p in pairs], [p[1] for p in pairs]
    missed = np.setdiff1d(np.flatnonzero(counted), taken_rows)
    excused = _excused(truth, found)
    invented = np.setdiff1d(np.flatnonzero(~excused), taken_columns)
    return Pairing(np.array(taken_rows, int), np.array(taken_columns, int), missed, invented)


def _excused(truth: TrueBoxes, found: FoundBoxes) -> np.ndarray:
    """Return which detections lie in something that does not count, bool (found,)."""
    aside = truth.crowd | truth.ignored
    excused = np.zeros(len(found.boxes), bool)
    for box, label in zip(xywh_to_xyxy(truth.boxes[aside]), truth.classes[aside], strict=True):
        corners = xywh_to_xyxy(found.boxes)
        low = np.maximum(corners[:, :2], box[:2])
        sides = np.maximum(np.minimum(corners[:, 2:], box[2:]) - low, 0)
        inside = sides.prod(1) / np.maximum(found.boxes[:, 2] * found.boxes[:, 3], 1e-9)
        excused |= (inside >= SAME_FROM) & (found.classes == label)
    return excused


def above(found: FoundBoxes, least: np.ndarray) -> FoundBoxes:
    """Return the detections whose score reaches their class's threshold, float (classes,)."""
    kept = found.scores >= least[found.classes]
    return FoundBoxes(*(values[kept] for values in found))


def confusion(truths: Sequence[TrueBoxes], found: Sequence[FoundBoxes], classes: int) -> np.ndarray:
    """Return how often each class was taken for each, int (classes + 1, classes + 1).

    Row: the true class; column: the class found. The last row is what was invented, the last
    column what was missed.
    """
    matrix = np.zeros((classes + 1, classes + 1), int)
    for truth, one in zip(truths, found, strict=True):
        pairing = pair(truth, one)
        np.add.at(matrix, (truth.classes[pairing.true], one.classes[pairing.found]), 1)
        np.add.at(matrix, (truth.classes[pairing.missed], classes), 1)
        np.add.at(matrix, (classes, one.classes[pairing.invented]), 1)
    return matrix


def evaluation_figures(
    images: Sequence[AnnotatedImage],
    truths: Sequence[TrueBoxes],
    found: Sequence[FoundBoxes],
    figures: BoxFigures,
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return all figures of an evaluation as JSON has them.

    ``{"metrics": COCO's twelve, "classes": [{"label", "boxes", "AP", "AP50", "AR", "threshold",
    "precision", "recall", "f1"}], "curves": {label: [[recall, precision], ...]}, "confusion":
    {"labels", "matrix"}, "worst": [{"path", "width", "height", "missed", "invented", "confused",
    "true", "found"}]}``. Precision, recall, confusion and the worst images are those at each
    class's best threshold (the last two at 0.05 at least); the boxes of an image are
    ``{"label", "box", "score", "fate"}``: ``hit``, ``missed``, ``invented`` or ``confused``.
    """
    entries = [_class_entry(label, n, figures) for n, label in enumerate(classes)]
    least = np.array([max(entry["threshold"], LEAST_SHOWN) for entry in entries])
    certain = [above(one, least) for one in found]
    return {
        "metrics": {k: _number(v) for k, v in figures.to_dict().items()},
        "classes": entries,
        "curves": {
            label: _curve(figures.precision[0, :, n, 0, -1])
            for n, label in enumerate(classes)
            if figures.matches[n].truths
        },
        "confusion": {
            "labels": [*classes, "(nothing)"],
            "matrix": confusion(truths, certain, len(classes)).tolist(),
        },
        "worst": worst_images(images, truths, certain, classes),
    }


def _class_entry(label: str, number: int, figures: BoxFigures) -> dict[str, Any]:
    matches = figures.matches[number]
    threshold, f1 = best_threshold(matches)
    hits, kept = _kept(matches, threshold)
    return {
        "label": label,
        "boxes": matches.truths,
        "AP": _number(figures.average_precision(label=number)),
        "AP50": _number(figures.average_precision(0.5, label=number)),
        "AR": _number(figures.average_recall(label=number)),
        "threshold": round(threshold, 4),
        "precision": round(hits / kept, 6) if kept else None,
        "recall": round(hits / matches.truths, 6) if matches.truths else None,
        "f1": round(f1, 6),
    }


def _kept(matches: Matches, threshold: float) -> tuple[int, int]:
    """Return how many detections are right and how many there are from a threshold on."""
    kept = matches.scores >= threshold
    return int(matches.hits[kept].sum()), int(kept.sum())


def _curve(precision: np.ndarray) -> list[list[float]]:
    recalls = np.linspace(0, 1, len(precision))
    return [
        [round(float(r), 4), round(float(p), 6)] for r, p in zip(recalls, precision, strict=True)
    ]


def worst_images(
    images: Sequence[AnnotatedImage],
    truths: Sequence[TrueBoxes],
    found: Sequence[FoundBoxes],
    classes: Sequence[str],
    most: int = WORST,
) -> list[dict[str, Any]]:
    """Return the images with the most mistakes, the worst first, then those with the fewest.

    Args:
        images: The annotated ones.
        truths: True boxes of each image.
        found: Predicted boxes of each image, above its threshold only.
        classes: The labels.
        most: At most so many.
    """
    entries = []
    for image, truth, one in zip(images, truths, found, strict=True):
        entry = _image_entry(image, truth, one, classes)
        entries.append(entry)
    entries.sort(key=lambda e: (-(e["missed"] + e["invented"] + e["confused"]), e["path"]))
    return entries[:most]


def _image_entry(
    image: AnnotatedImage, truth: TrueBoxes, found: FoundBoxes, classes: Sequence[str]
) -> dict[str, Any]:
    pairing = pair(truth, found)
    wrong = truth.classes[pairing.true] != found.classes[pairing.found]
    fates = dict.fromkeys(map(int, pairing.invented), "invented")
    fates |= {
        int(place): "confused" if is_wrong else "hit"
        for place, is_wrong in zip(pairing.found, wrong, strict=True)
    }
    missed = set(map(int, pairing.missed))
    return {
        **path_fields(image.path or image.file),
        "missed": len(missed),
        "invented": len(pairing.invented),
        "confused": int(wrong.sum()),
        "true": [
            {
                "label": classes[truth.classes[n]],
                "box": _sides(box),
                "fate": "missed" if n in missed else "hit",
            }
            for n, box in enumerate(truth.boxes)
        ],
        "found": [
            {
                "label": classes[found.classes[n]],
                "box": _sides(box),
                "score": round(float(found.scores[n]), 4),
                "fate": fates.get(n, "hit"),
            }
            for n, box in enumerate(found.boxes)
        ],
    }


def _sides(box: np.ndarray) -> list[float]:
    return [round(float(side), 2) for side in box]


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 6)
