"""The report of ``cnnkit evaluate`` for an embedder of faces: the dict of its ``--json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cnnkit.reports.charts import line_chart
from cnnkit.reports.escaping import visible
from cnnkit.reports.page import timestamp, write_page

MOST_SHOWN = 100


def write_face_evaluation(
    path: str | os.PathLike[str],
    evaluation: Mapping[str, Any],
    *,
    title: str,
    made: datetime | None = None,
) -> None:
    """Write the evaluation as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        evaluation: Result of `cnnkit.faces.evaluation.evaluate_pairs`.
        title: The heading.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    roc = evaluation["roc"]
    curve = [(0.0, 0.0), *((p["false_accept_rate"], p["true_accept_rate"]) for p in roc)]
    charts = [
        line_chart(
            {"pairs": curve},
            title="ROC curve",
            x_label="false accept rate",
            y_label="true accept rate",
            y_range=(0.0, 1.0),
        ),
        line_chart(
            {
                "one person, refused": [(p["threshold"], 1 - p["true_accept_rate"]) for p in roc],
                "two people, accepted": [(p["threshold"], p["false_accept_rate"]) for p in roc],
            },
            title="Error rates by threshold",
            x_label="threshold",
            y_label="error rate",
            y_range=(0.0, 1.0),
        ),
    ]
    context = {
        **evaluation,
        "title": title,
        "made": timestamp(made),
        "found": evaluation["metrics"],
        "charts": charts,
        "mistakes": [_visible(entry) for entry in evaluation["mistakes"][:MOST_SHOWN]],
        "failed": [_visible(entry) for entry in evaluation["errors"][:MOST_SHOWN]],
        "folds": evaluation.get("folds"),
    }
    write_page(path, "face_evaluation.html.jinja", context, styles=["evaluation.css"])


def _visible(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: visible(v) if isinstance(v, str) else v for k, v in entry.items()}
