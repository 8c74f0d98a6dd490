"""The report of ``cnnkit evaluate`` for a classifier, and the schema of its JSON.

`write_evaluation` takes the very dict that ``cnnkit evaluate --json`` writes::

    {"schema_version": 1, "task": "classify",
     "model": {"name": str, "sha256": str or null},
     "data": {"path": str, "pictures": int, "errors": int},
     "metrics": {"top_1", "top_5", "macro_f1", "weighted_f1", "balanced_accuracy",
                 "expected_calibration_error"},
     "classes": [{"label": str, "support": int, "precision", "recall", "f1"}],
     "confusion": {"labels": [str], "matrix": [[int]]},
     "reliability": [{"low", "high", "count": int, "confidence", "accuracy"}],
     "mistakes": [{"path": str, "truth": str, "label": str, "score"}],
     "errors": [{"path": str, "kind": str, "message": str}]}

Rates lie between 0 and 1. ``images`` counts the evaluated ones, without ``errors``. ``top_5``
may be null for a model with few classes. The matrix has truth as rows and predictions as columns.
An empty reliability bin has null as confidence and accuracy. A path that is no valid Unicode has
``path_base64`` beside it, as everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from cnnkit.reports.charts import bar_chart, heat_map, reliability_diagram
from cnnkit.reports.page import thumbnail_url, timestamp, write_page
from cnnkit.results import path_of

WHOLE_MATRIX_CLASSES = 40  # up to here the heat map shows every class
REDUCED_MATRIX_CLASSES = 30
PAIRS = 25
BARS = 12
MISTAKES = 120
ERRORS = 500


def write_evaluation(
    path: str | os.PathLike[str],
    evaluation: Mapping[str, Any],
    *,
    title: str,
    thumbnail: Callable[[str], bytes | None] | None = None,
    made: datetime | None = None,
) -> None:
    """Write the evaluation of a classifier as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        evaluation: The dict of the module's docstring. Above 40 classes the heat map keeps the
            30 most confused ones; of the mistakes the 120 surest are shown.
        title: The heading.
        thumbnail: Gives a small JPEG, PNG or WebP for a mistake's path as the file system wants
            it, or None. It may raise `cnnkit.errors.ImageError`: the card then has no image.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
        ValueError: When `evaluation` is not of the schema.
    """
    write_page(
        path,
        "evaluation.html.jinja",
        {"title": title, "made": timestamp(made), **evaluation_context(evaluation, thumbnail)},
        styles=["evaluation.css"],
        scripts=["tables.js"],
    )


def evaluation_context(
    evaluation: Mapping[str, Any], thumbnail: Callable[[str], bytes | None] | None
) -> dict[str, Any]:
    """Return what the template of an evaluation shows, for pages that extend it.

    Args:
        evaluation: The dict of the module's docstring.
        thumbnail: As in `write_evaluation`.

    Raises:
        ValueError: When `evaluation` is not of the schema.
    """
    matrix = _checked_matrix(evaluation)
    labels = evaluation["confusion"]["labels"]
    context = {
        "model": evaluation["model"],
        "data": evaluation["data"],
        "metrics": evaluation["metrics"],
        "reliability": reliability_diagram(
            evaluation["reliability"], title="Accuracy by confidence"
        ),
        "pairs": most_confused(matrix, labels),
        "errors": evaluation["errors"][:ERRORS],
        "more_errors": max(0, len(evaluation["errors"]) - ERRORS),
    }
    context |= _classes(evaluation["classes"]) | _heat(matrix, labels)
    return context | _mistakes(evaluation["mistakes"], thumbnail)


def most_confused(
    matrix: np.ndarray, labels: Sequence[str], limit: int = PAIRS
) -> list[dict[str, Any]]:
    """Return the most frequent mistakes, the most frequent first.

    Args:
        matrix: Counts (classes, classes), rows truth, columns prediction.
        labels: The names of the classes.
        limit: At most so many.

    Returns:
        Dicts with truth, prediction, count, and share: the part of the truth's images.
    """
    misses = matrix.copy()
    np.fill_diagonal(misses, 0)
    rows, columns = np.nonzero(misses)
    totals = matrix.sum(axis=1)
    share = misses[rows, columns] / totals[rows]
    order = np.lexsort((-share, -misses[rows, columns]))[:limit]
    return [
        {
            "truth": labels[rows[i]],
            "prediction": labels[columns[i]],
            "count": int(misses[rows[i], columns[i]]),
            "share": float(share[i]),
        }
        for i in order
    ]


def reduced_matrix(
    matrix: np.ndarray, labels: Sequence[str], keep: int
) -> tuple[np.ndarray, list[str], list[str]]:
    """Keep the classes with the most confusions, in their order; other predictions share a column.

    Returns:
        The counts (keep, keep + 1), the names of the rows, and those of the columns.
    """
    misses = matrix.copy()
    np.fill_diagonal(misses, 0)
    confusions = misses.sum(axis=0) + misses.sum(axis=1)
    # Classes without an image have no row to show.
    confusions = np.where(matrix.sum(axis=1) > 0, confusions, -1)
    kept = np.sort(np.argsort(-confusions, kind="stable")[:keep])
    kept = kept[matrix.sum(axis=1)[kept] > 0]
    inside = matrix[np.ix_(kept, kept)]
    outside = matrix[kept].sum(axis=1) - inside.sum(axis=1)
    names = [labels[i] for i in kept]
    return np.column_stack([inside, outside]), names, [*names, "all others"]


def _checked_matrix(evaluation: Mapping[str, Any]) -> np.ndarray:
    """Return the confusion matrix as int64 (classes, classes), or refuse the dict."""
    version, task = evaluation.get("schema_version"), evaluation.get("task")
    if (version, task) != (1, "classify"):
        raise ValueError(
            "`evaluation` must have schema_version 1 and task 'classify'. "
            f"Received: {version!r} and {task!r}."
        )
    classes = len(evaluation["confusion"]["labels"])
    matrix = np.asarray(evaluation["confusion"]["matrix"], dtype=np.int64)
    if classes == 0 or matrix.shape != (classes, classes):
        raise ValueError(
            f"`matrix` must have one row and one column per label. Received: "
            f"shape={matrix.shape} for {classes} labels."
        )
    if not matrix.any():
        raise ValueError("`matrix` must count at least one image. Received: none.")
    return matrix


def _classes(classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the table of the classes that occur, and the bars of the weakest."""
    occurring = [c for c in classes if c["support"]]
    weakest = sorted(occurring, key=lambda c: c["f1"])[:BARS]
    title = "Classes" if len(occurring) <= BARS else f"The {BARS} weakest classes"
    bars = bar_chart([(c["label"], c["f1"]) for c in weakest], title=f"{title} by F1")
    return {
        "classes": occurring,
        "absent": len(classes) - len(occurring),
        "bars_title": f"{title} by F1",
        "bars": bars,
    }


def _heat(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Return the heat map, reduced where there are many classes."""
    rows, columns, reduced = list(labels), list(labels), 0
    if len(labels) > WHOLE_MATRIX_CLASSES:
        reduced = len(labels)
        matrix, rows, columns = reduced_matrix(matrix, labels, REDUCED_MATRIX_CLASSES)
    heat = heat_map(
        matrix,
        rows,
        columns,
        title="Confusion matrix, truth against prediction",
        row_title="truth",
        column_title="prediction",
    )
    return {"heat": heat, "reduced": reduced, "heat_rows": len(rows)}


def _mistakes(
    mistakes: Sequence[Mapping[str, Any]], thumbnail: Callable[[str], bytes | None] | None
) -> dict[str, Any]:
    """Return the cards of the surest mistakes."""
    surest = sorted(mistakes, key=lambda mistake: -mistake["score"])[:MISTAKES]
    cards = [
        {
            **mistake,
            "name": os.path.basename(mistake["path"]),
            "image": thumbnail_url(thumbnail, path_of(dict(mistake))),
        }
        for mistake in surest
    ]
    return {"mistakes": cards, "more_mistakes": len(mistakes) - len(cards)}
