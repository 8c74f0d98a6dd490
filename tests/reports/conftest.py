"""Rows, evaluations and thumbnails that the reports' tests share, hostile ones among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cnnkit import metrics
from cnnkit.results import UNKNOWN, Classification, Failure, Prediction, make_row

MADE = datetime(2025, 3, 9, 17, 5, tzinfo=UTC)

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>alert(2)</script>",
    '" onmouseover="alert(3)" x=\'',
    "'><svg onload=alert(4)>",
    "]]></style><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "javascript:alert(5)",
    "&lt;b&gt; &amp; <b>bold</b>",
    "line\nfeed\ttab\x00nul\x1b[31mred\x85\u2028\u2029",
    "gpj.\u202eexe\u2066\u200f",
    "bytes \udcff\udc80 of an undecodable name",
    "naïve/日本語/קובץ.jpg",
    "https://example.org/a.png",
)


def webp(value: int = 120) -> bytes:
    """Return a small real image."""
    done, data = cv2.imencode(".webp", np.full((12, 16, 3), value, np.uint8))
    assert done
    return data.tobytes()


def row(path: str, *guesses: tuple[str, float], threshold: float = 0.0) -> dict[str, Any]:
    """Return an ok row."""
    predictions = tuple(Prediction(i, *guess) for i, guess in enumerate(guesses))
    decision = guesses[0][0] if guesses[0][1] >= threshold else UNKNOWN
    return make_row(path, Classification(predictions, decision))


def error_row(path: str, kind: str = "truncated", message: str = "It ends early.") -> dict:
    return make_row(path, Failure(kind, message))


def many_rows(count: int) -> Iterator[dict[str, Any]]:
    """Give rows of 40 classes with spread scores; every 500th is an error."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = f"photos/{i // 1000:02d}/IMG_{i:05d}.jpg"
        if i % 500 == 499:
            yield error_row(path)
            continue
        scores = np.sort(rng.dirichlet([0.4] * 5))[::-1]
        labels = [f"class {(i * 7 + j) % 40}" for j in range(5)]
        yield row(path, *zip(labels, scores.tolist(), strict=True), threshold=0.4)


def evaluation(
    truth: np.ndarray,
    scores: np.ndarray,
    labels: list[str],
    paths: list[str] | None = None,
) -> dict[str, Any]:
    """Return the evaluation of these probabilities, all of it computed."""
    paths = paths or [f"photos/{i:04d}.jpg" for i in range(len(truth))]
    guess, confidence = scores.argmax(axis=1), scores.max(axis=1)
    confusion = metrics.confusion_matrix(truth, guess, len(labels))
    each = metrics.precision_recall_f1(confusion)
    calibration = metrics.expected_calibration_error(confidence, guess == truth)
    return {
        "schema_version": 1,
        "task": "classify",
        "model": {"name": "efficientnet-lite0", "sha256": "0123456789abcdef" * 4},
        "data": {"path": "photos/", "pictures": len(truth), "errors": 1},
        "metrics": {
            "top_1": metrics.top_k_accuracy(scores, truth),
            "top_5": metrics.top_k_accuracy(scores, truth, 5) if len(labels) > 5 else None,
            "macro_f1": each.macro.f1,
            "weighted_f1": each.weighted.f1,
            "balanced_accuracy": metrics.balanced_accuracy(confusion),
            "expected_calibration_error": calibration.error,
        },
        "classes": [
            {
                "label": label,
                "support": int(each.support[i]),
                "precision": float(each.precision[i]),
                "recall": float(each.recall[i]),
                "f1": float(each.f1[i]),
            }
            for i, label in enumerate(labels)
        ],
        "confusion": {"labels": labels, "matrix": confusion.tolist()},
        "reliability": [b.to_dict() for b in calibration.bins],
        "mistakes": [
            {
                "path": paths[i],
                "truth": labels[truth[i]],
                "label": labels[guess[i]],
                "score": float(confidence[i]),
            }
            for i in np.flatnonzero(guess != truth)
        ],
        "errors": [{"path": "photos/bad.jpg", "kind": "empty", "message": "It has zero bytes."}],
    }


def random_evaluation(classes: int, samples: int = 400, labels: list[str] | None = None) -> dict:
    """Return the evaluation of an imperfect model on drawn data."""
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, samples)
    logits = rng.normal(size=(samples, classes))
    logits[np.arange(samples), truth] += 2
    labels = labels or [f"class {i}" for i in range(classes)]
    return evaluation(truth, metrics.softmax(logits), labels)


def outside_scripts(html: str) -> str:
    """Return the page without the contents of its scripts and styles."""
    return re.sub(r"(<(script|style)\b[^>]*>).*?(</\2>)", r"\1\3", html, flags=re.DOTALL)


@pytest.fixture
def thumbnail() -> Callable[[str], bytes | None]:
    image = webp()
    return lambda path: image


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Where to write a report: a folder of its own, so that leftovers show."""
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder / "report.html"
