"""Measures a detector on images with boxes, exactly as it runs in ``cnnkit detect``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.data.splits import measured_splits
from cnnkit.detection.average_precision import FoundBoxes, TrueBoxes, box_figures
from cnnkit.detection.detector import Detector
from cnnkit.detection.measuring import CONFIDENCE, true_boxes
from cnnkit.detection.mistakes import evaluation_figures
from cnnkit.detection.selection import Selection, class_index
from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats import AnnotatedImage, BoxProblem, BoxSet, mend
from cnnkit.formats.turning import as_shown
from cnnkit.images import Found
from cnnkit.results import Detections, Failure, path_fields

EVALUATED = Selection(confidence=CONFIDENCE)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gives beside its figures.

    Attributes:
        figures: Everything, JSON values.
        problems: Boxes that were fixed or omitted.
        unknown: Classes of the data that the model does not know.
    """

    figures: dict[str, Any]
    problems: tuple[BoxProblem, ...]
    unknown: tuple[str, ...]


def evaluate_detector(
    detector: Detector,
    boxes: BoxSet,
    *,
    split: str | None = None,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> Evaluated:
    """Measure a detector.

    The classes are those of the data that have a box; what the detector finds of any other class
    is omitted, and a class that it does not know counts with an AP of 0. Boxes are not cut at
    the edge; those that are none (empty, not finite) are omitted and named.

    Args:
        detector: Made with `EVALUATED`, so that nearly everything counts.
        boxes: The data set.
        split: Only the images of this one; by default of all but train.
        workers: Threads that read and predict.
        progress: Called after each image.

    Returns:
        ``figures``: ``{"schema_version": 1, "task": "detect", "model": {"name", "sha256"},
        "data": {"path", "form", "split", "pictures", "boxes", "errors", "problems"}, "runtime",
        ...what `cnnkit.detection.mistakes.evaluation_figures` gives, "errors": [...]}``.

    Raises:
        UsageError: There is nothing to measure.
    """
    wanted = measured_splits([p.split for p in boxes.images], split, boxes.source)
    images, misplaced = as_shown(p for p in boxes.images if p.split in wanted)
    classes = tuple(name for name, count in boxes.counts().items() if count)
    if not images or not classes:
        received = f"{len(images)} images of {len(classes)} classes"
        raise UsageError(broken_rule("`data`", "have images with boxes to measure", received))
    places, unknown = _places(classes, detector.bundle.labels)
    problems = [*boxes.problems, *misplaced]
    sound, truths, found, errors = [], [], [], []
    there = [p for p in images if p.path is not None and not p.refused]
    results = iter(detector.stream([Found(str(p.path)) for p in there], workers))
    for image in images:
        mended, wrong = mend(image, boxes.classes, clip=False)
        problems += wrong
        outcome: Detections | Failure | None = _unmeasured(image)
        if outcome is None:
            _, outcome = next(results)
        if progress is not None:
            progress()
        if isinstance(outcome, Failure):
            errors.append({**path_fields(image.path or image.file), **outcome.to_dict()})
            continue
        sound.append(mended)
        truths.append(true_boxes(mended, classes, (outcome.height, outcome.width)))
        labels = places[outcome.class_id]
        kept = labels >= 0
        sides = outcome.xywh[kept]
        found.append(FoundBoxes(sides, labels[kept], outcome.scores[kept].astype(np.float64)))
    figures = _figures(detector, boxes, (split, classes), (sound, truths, found))
    figures["data"] |= {"errors": len(errors), "problems": len(problems)}
    return Evaluated(figures | {"errors": errors}, tuple(problems), unknown)


def _unmeasured(image: AnnotatedImage) -> Failure | None:
    """Return why an image cannot be measured, None if it can."""
    if image.path is None:
        return Failure("missing", "no such file")
    return Failure("size-differs", image.refused) if image.refused else None


def _places(classes: Sequence[str], labels: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the data's class of each of the model's, -1 for none, and those it lacks.

    Raises:
        UsageError: The model knows none, or two are the same class of the model: the detections
            could be those of one only.
    """
    places, unknown = np.full(len(labels), -1), []
    for number, name in enumerate(classes):
        try:
            place = class_index(name, labels, "`data`")
        except UsageError:
            unknown.append(name)
            continue
        if places[place] >= 0:
            rule = "have one class for each of the model's"
            received = f"{classes[places[place]]!r} and {name!r}, which are both {labels[place]!r}"
            raise UsageError(broken_rule("`data`", rule, received, "Give them one name."))
        places[place] = number
    if len(unknown) == len(classes):
        rule = "have classes that the model knows"
        received = ", ".join(unknown[:5])
        fix = f"The model knows {', '.join(labels[:8])}."
        raise UsageError(broken_rule("`data`", rule, received, fix))
    return places, tuple(unknown)


def _figures(
    detector: Detector,
    boxes: BoxSet,
    about: tuple[str | None, Sequence[str]],
    measured: tuple[list[AnnotatedImage], list[TrueBoxes], list[FoundBoxes]],
) -> dict[str, Any]:
    split, classes = about
    images, truths, found = measured
    card = detector.bundle.card
    return {
        "schema_version": 1,
        "task": "detect",
        "model": {"name": card.name, "sha256": card.weights.get("sha256")},
        "data": {
            **path_fields(boxes.source),
            "form": boxes.form,
            "split": split,
            "pictures": len(images),
            "boxes": sum(len(truth.boxes) for truth in truths),
        },
        "runtime": {
            "runtime": detector.predictor.runtime,
            "precision": detector.predictor.precision,
        },
        **evaluation_figures(
            images, truths, found, box_figures(truths, found, len(classes)), classes
        ),
    }
