"""The figures of a classifier on a split, in the form of ``cnnkit evaluate --json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.results import path_fields

MAX_MISTAKES = 100
TOP_K = 5


def evaluation(
    logits: np.ndarray,
    truth: np.ndarray,
    *,
    temperature: float,
    labels: Sequence[str],
    paths: Sequence[str],
) -> dict[str, Any]:
    """Return the figures that `cnnkit.reports.evaluation` and scripts read.

    Args:
        logits: float (images, classes).
        truth: Integer class indices (images,).
        temperature: Temperature of the softmax.
        labels: The classes' names.
        paths: Paths of the images.

    Returns:
        ``metrics``, ``classes``, ``confusion``, ``reliability`` and ``mistakes``, JSON values.
    """
    probabilities = metrics.softmax(np.asarray(logits, np.float64), temperature)
    guess = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    confusion = metrics.confusion_matrix(truth, guess, len(labels))
    scores = metrics.precision_recall_f1(confusion)
    calibration = metrics.expected_calibration_error(confidence, guess == truth)
    return {
        "metrics": {
            "top_1": float((guess == truth).mean()),
            "top_5": metrics.top_k_accuracy(probabilities, truth, TOP_K),
            "macro_f1": scores.macro.f1,
            "weighted_f1": scores.weighted.f1,
            "balanced_accuracy": metrics.balanced_accuracy(confusion),
            "expected_calibration_error": calibration.error,
        },
        "classes": [
            {
                "label": label,
                "support": int(scores.support[row]),
                "precision": float(scores.precision[row]),
                "recall": float(scores.recall[row]),
                "f1": float(scores.f1[row]),
            }
            for row, label in enumerate(labels)
        ],
        "confusion": {"labels": list(labels), "matrix": confusion.tolist()},
        "reliability": [part.to_dict() for part in calibration.bins],
        "mistakes": _surest_mistakes(guess, truth, confidence, labels, paths),
    }


def _surest_mistakes(
    guess: np.ndarray,
    truth: np.ndarray,
    confidence: np.ndarray,
    labels: Sequence[str],
    paths: Sequence[str],
) -> list[dict[str, Any]]:
    wrong = np.flatnonzero(guess != truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    return [
        {
            **path_fields(paths[i]),
            "truth": labels[truth[i]],
            "label": labels[guess[i]],
            "score": round(float(confidence[i]), 6),
        }
        for i in order
    ]
