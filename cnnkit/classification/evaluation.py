"""How well a classifier does on labeled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.classification.classifier import Classifier
from cnnkit.classification.labeled import LabeledImage
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import Found
from cnnkit.results import Failure, path_fields

SCHEMA_VERSION = 1
MAX_MISTAKES = 100
TOP_K = 5


def evaluate(
    classifier: Classifier,
    images: list[LabeledImage],
    *,
    data: str,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Measure a classifier.

    Args:
        classifier: Loaded with ``top_k`` of at least 5, or all its classes if fewer.
        images: What to measure on, of `cnnkit.classification.labeled.read_labeled`.
        data: Where they come from, for the result.
        workers: Threads that read and predict.
        progress: Called after each image.

    Returns:
        The figures as JSON-ready values; the schema stands in docs/output.md.

    Raises:
        UsageError: No image could be read.
    """
    labels = classifier.bundle.labels
    tally = _Tally(len(labels))
    found = (Found(image.path) for image in images)
    stream = classifier.stream(found, workers)
    for image, (path, result) in zip(images, stream, strict=True):
        tally.add(path, image.truth, result)
        if progress is not None:
            progress()
    if not tally.truth:
        missing = any(error["kind"] == "missing" for error in tally.errors)
        fix = "Set `root` to the folder that its files are relative to." if missing else ""
        raise UsageError(broken_rule("`data`", "hold readable images", f"none in {data}", fix))
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "classify",
        "model": {"name": classifier.bundle.card.name, "sha256": classifier.bundle.identity},
        "runtime": {
            "runtime": classifier.predictor.runtime,
            "precision": classifier.predictor.precision,
            "fit": classifier.spec.fit,
        },
        "data": {**path_fields(data), "pictures": len(images), "errors": len(tally.errors)},
        **tally.figures(labels),
        "mistakes": tally.surest_mistakes(labels),
        "errors": tally.errors,
    }


class _Tally:
    """Collects truths and predictions: a few numbers for each image."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.truth: list[int] = []
        self.guess: list[int] = []
        self.confidence: list[float] = []
        self.in_top: list[bool] = []
        self.paths: list[str] = []
        self.errors: list[dict[str, str]] = []

    def add(self, path: str, truth: int, result: Any) -> None:
        """Take in the result of one image."""
        if isinstance(result, Failure):
            self.errors.append({**path_fields(path), **result.to_dict()})
            return
        self.paths.append(path)
        self.truth.append(truth)
        self.guess.append(result.predictions[0].class_id)
        self.confidence.append(min(1.0, result.predictions[0].score))
        self.in_top.append(any(p.class_id == truth for p in result.predictions[:TOP_K]))

    def figures(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return the figures of all images so far, ready for JSON; see docs/output.md."""
        truth, guess = np.array(self.truth), np.array(self.guess)
        correct = truth == guess
        # Only the classes that occur: a model of 1,000 measured on ten has a table of ten.
        present = np.unique(np.concatenate([truth, guess]))
        confusion = metrics.confusion_matrix(
            np.searchsorted(present, truth), np.searchsorted(present, guess), len(present)
        )
        scores = metrics.precision_recall_f1(confusion)
        calibration = metrics.expected_calibration_error(np.array(self.confidence), correct)
        return {
            "metrics": {
                "top_1": float(correct.mean()),
                "top_5": float(np.mean(self.in_top)),
                "macro_f1": float(scores.macro.f1),
                "weighted_f1": float(scores.weighted.f1),
                "balanced_accuracy": float(metrics.balanced_accuracy(confusion)),
                "expected_calibration_error": float(calibration.error),
            },
            "classes": [
                {
                    "label": labels[index],
                    "support": int(scores.support[row]),
                    "precision": float(scores.precision[row]),
                    "recall": float(scores.recall[row]),
                    "f1": float(scores.f1[row]),
                }
                for row, index in enumerate(present)
            ],
            "confusion": {
                "labels": [labels[index] for index in present],
                "matrix": confusion.tolist(),
            },
            "reliability": [asdict(part) for part in calibration.bins],
        }

    def surest_mistakes(self, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return the wrong predictions, the surest first."""
        wrong = [i for i in range(len(self.truth)) if self.truth[i] != self.guess[i]]
        wrong.sort(key=lambda i: -self.confidence[i])
        return [
            {
                **path_fields(self.paths[i]),
                "truth": labels[self.truth[i]],
                "label": labels[self.guess[i]],
                "score": round(self.confidence[i], 6),
            }
            for i in wrong[:MAX_MISTAKES]
        ]
