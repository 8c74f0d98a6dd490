"""Average precision and recall of detections by COCO's protocol, computed by pycocotools.

Ten overlaps from 0.50 to 0.95, 101 recalls, at most 100 detections per image and class, areas
below 32², to 96² and above; boxes of crowds and those that do not count take detections away
without a mistake. A class without a true box has no figure and is omitted from the means.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

MOST_DETECTIONS = (1, 10, 100)
AREAS = ("all", "small", "medium", "large")


class TrueBoxes(NamedTuple):
    """The truth about one image.

    Attributes:
        boxes: float64 (n, 4): left, top, width, height in pixels.
        classes: int (n,).
        crowd: bool (n,): a group; detections in it are no mistakes.
        ignored: bool (n,): neither found nor missed, such as Pascal VOC's difficult ones.
        areas: float64 (n,): of the things themselves, in square pixels.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    areas: np.ndarray


class FoundBoxes(NamedTuple):
    """The detections in one image.

    Attributes:
        boxes: float64 (n, 4): left, top, width, height in pixels.
        classes: int (n,).
        scores: float64 (n,).
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class BoxFigures:
    """The figures.

    Attributes:
        precision: float64 (overlaps, recalls, classes, areas, most detections); -1 where a class
            has no true box.
        recall: float64 (overlaps, classes, areas, most detections), likewise.
        matches: For each class how its detections fared at an overlap of 0.5.
    """

    precision: np.ndarray
    recall: np.ndarray
    matches: tuple[Matches, ...]

    def average_precision(
        self, overlap: float | None = None, area: str = "all", label: int | None = None
    ) -> float:
        """Return the mean average precision, NaN where there is no true box.

        Args:
            overlap: One of the ten; None: their mean.
            area: One of `AREAS`.
            label: One class; None: the mean of all that have a true box.
        """
        chosen = self.precision[:, :, :, AREAS.index(area), -1]
        chosen = chosen if label is None else chosen[:, :, label : label + 1]
        return _mean(chosen if overlap is None else chosen[_place(overlap)])

    def average_recall(self, most: int = 100, area: str = "all", label: int | None = None) -> float:
        """Return the mean over the overlaps of the highest recall, NaN without a true box."""
        chosen = self.recall[:, :, AREAS.index(area), MOST_DETECTIONS.index(most)]
        return _mean(chosen if label is None else chosen[:, label : label + 1])

    def to_dict(self) -> dict[str, float | None]:
        """Return COCO's twelve figures by name, None if there is none."""
        figures = {
            "AP": self.average_precision(),
            "AP50": self.average_precision(0.5),
            "AP75": self.average_precision(0.75),
        }
        figures |= {f"AP_{area}": self.average_precision(area=area) for area in AREAS[1:]}
        figures |= {f"AR_{most}": self.average_recall(most) for most in MOST_DETECTIONS}
        figures |= {f"AR_{area}": self.average_recall(area=area) for area in AREAS[1:]}
        return {name: None if math.isnan(value) else value for name, value in figures.items()}


class Matches(NamedTuple):
    """The detections of one class at an overlap of 0.5, those that do not count omitted.

    Attributes:
        scores: float64 (n,), falling.
        hits: bool (n,): whether each found a true box that no better one has.
        truths: How many true boxes count.
    """

    scores: np.ndarray
    hits: np.ndarray
    truths: int


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else math.nan


def _place(overlap: float) -> int:
    return round((overlap - 0.5) / 0.05)


def box_figures(
    truths: Sequence[TrueBoxes], found: Sequence[FoundBoxes], classes: int
) -> BoxFigures:
    """Measure detections against the truth.

    Args:
        truths: True boxes of each image.
        found: Predicted boxes of each image, in the same order.
        classes: Number of classes.
    """
    if not any(len(one.boxes) for one in truths) or not classes:
        empty = np.full((10, 101, classes, len(AREAS), len(MOST_DETECTIONS)), -1.0)
        nothing = [Matches(np.zeros(0), np.zeros(0, bool), 0)] * classes
        return BoxFigures(empty, empty[:, 0], tuple(nothing))
    with _silent():
        evaluation = _evaluation(truths, found, classes)
        evaluation.evaluate()
        evaluation.accumulate()
    matches = tuple(_matches(evaluation, len(truths), label) for label in range(classes))
    return BoxFigures(evaluation.eval["precision"], evaluation.eval["recall"], matches)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what pycocotools says off standard output."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _evaluation(truths: Sequence[TrueBoxes], found: Sequence[FoundBoxes], classes: int) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class DetectionEvaluation(COCOeval):
        """COCO's evaluation, in which boxes that are no crowd may be ignored as well."""

        def _prepare(self) -> None:
            super()._prepare()
            for entries in self._gts.values():
                for entry in entries:
                    entry["ignore"] = int(entry["iscrowd"] or entry["ignored"])

    true, detected = COCO(), COCO()
    images = [{"id": number} for number in range(1, len(truths) + 1)]
    categories = [{"id": number} for number in range(1, classes + 1)]
    for side, entries in ((true, _true_entries(truths)), (detected, _found_entries(found))):
        side.dataset = {"images": images, "categories": categories, "annotations": list(entries)}
        side.createIndex()
    return DetectionEvaluation(true, detected, "bbox")


def _true_entries(truths: Sequence[TrueBoxes]) -> Iterator[dict[str, Any]]:
    identity = 0
    for image, one in enumerate(truths, start=1):
        for row in range(len(one.boxes)):
            identity += 1
            yield {
                "id": identity,
                "image_id": image,
                "category_id": int(one.classes[row]) + 1,
                "bbox": [float(side) for side in one.boxes[row]],
                "area": float(one.areas[row]),
                "iscrowd": int(one.crowd[row]),
                "ignored": bool(one.ignored[row]),
            }


def _found_entries(found: Sequence[FoundBoxes]) -> Iterator[dict[str, Any]]:
    identity = 0
    for image, one in enumerate(found, start=1):
        for row in range(len(one.boxes)):
            identity += 1
            box = [float(side) for side in one.boxes[row]]
            yield {
                "id": identity,
                "image_id": image,
                "category_id": int(one.classes[row]) + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": float(one.scores[row]),
            }


def _matches(evaluation: Any, images: int, label: int) -> Matches:
    """Collect what became of a class's detections at 0.5, over all areas."""
    first = label * len(AREAS) * images  # class by class, area by area, image by image
    entries = [e for e in evaluation.evalImgs[first : first + images] if e is not None]
    if not entries:
        return Matches(np.zeros(0), np.zeros(0, bool), 0)
    scores = np.concatenate([np.asarray(e["dtScores"], np.float64) for e in entries])
    hits = np.concatenate([e["dtMatches"][0] > 0 for e in entries])
    counted = np.concatenate([~e["dtIgnore"][0].astype(bool) for e in entries])
    truths = sum(int((~np.asarray(e["gtIgnore"], bool)).sum()) for e in entries)
    order = np.argsort(-scores[counted], kind="stable")
    return Matches(scores[counted][order], hits[counted][order], truths)


def best_threshold(matches: Matches) -> tuple[float, float]:
    """Return the score from which a class's F1 is highest, and that F1.

    Half way between the lowest score that is kept and the next one below it; (0.5, 0) where
    nothing was found.
    """
    if not matches.hits.any():
        return 0.5, 0.0
    true = np.cumsum(matches.hits)
    f1 = 2 * true / (np.arange(1, len(true) + 1) + matches.truths)
    # A threshold cannot part equal scores: only the last of each is a place to cut.
    last = np.append(np.diff(matches.scores) < 0, True)
    best = int(np.argmax(np.where(last, f1, -1)))
    below = matches.scores[best + 1] if best + 1 < len(true) else 0.0
    return float((matches.scores[best] + below) / 2), float(f1[best])
