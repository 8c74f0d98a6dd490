"""The report of a detector: its figures, curves, confusion and worst images; how it learned.

`write_detection_report` takes what `cnnkit.detection.mistakes.evaluation_figures` gives, and for a
training the epochs and the record of its card.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from cnnkit.reports.box_images import COLORS, drawn_boxes
from cnnkit.reports.charts import heat_map, line_chart
from cnnkit.reports.escaping import image_data_url
from cnnkit.reports.page import definitions, timestamp, write_page
from cnnkit.results import path_of

CURVES = 5  # as many as a legend has room for
HEAT_CLASSES = 30
FIGURES = {
    "AP50": "AP50",
    "AP": "AP (0.50 to 0.95)",
    "AP75": "AP75",
    "AP_small": "AP, small",
    "AP_medium": "AP, medium",
    "AP_large": "AP, large",
    "AR_1": "recall, 1 an image",
    "AR_10": "recall, 10",
    "AR_100": "recall, 100",
}
STAGES = {"frozen": "new layers only", "whole": "whole network"}


def write_detection_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    evaluation: Mapping[str, Any],
    subtitle: str = "",
    epochs: Sequence[Mapping[str, Any]] = (),
    record: Mapping[str, Any] | None = None,
    errors: Sequence[Mapping[str, Any]] = (),
    made: datetime | None = None,
) -> None:
    """Write the figures of a detector as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        title: The heading.
        evaluation: The figures.
        subtitle: What was measured on what.
        epochs: History of a training: ``stage``, ``epoch``, ``loss``, ``AP50``, ``AP``.
        record: The card's ``training``.
        errors: Images that could not be read: ``path``, ``kind``, ``message``.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    arguments = {} if record is None else record["arguments"] | {"seed": record["seed"]}
    known = [entry for entry in evaluation["classes"] if entry["boxes"]]
    context = {
        "title": title,
        "subtitle": subtitle,
        "made": timestamp(made),
        "metrics": [
            (name, evaluation["metrics"][key])
            for key, name in FIGURES.items()
            if evaluation["metrics"].get(key) is not None
        ],
        "classes": known,
        "absent": len(evaluation["classes"]) - len(known),
        "precision_recall": _precision_recall(evaluation, known),
        "heat": _heat(evaluation["confusion"]),
        "worst": _worst(evaluation["worst"]),
        "colors": COLORS,
        "learning": list(_learning(epochs)),
        "record": record,
        "options": list(definitions(arguments)),
        "errors": list(errors),
    }
    styles, scripts = ["evaluation.css", "detection.css"], ["tables.js"]
    write_page(path, "detection.html.jinja", context, styles=styles, scripts=scripts)


def _precision_recall(evaluation: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Any:
    """Return the curves of the classes with the most boxes, None if there is none."""
    most = sorted(known, key=lambda entry: -entry["boxes"])[:CURVES]
    series = {
        entry["label"]: list(_corners(evaluation["curves"][entry["label"]])) for entry in most
    }
    if not series:
        return None
    return line_chart(
        series,
        title="Precision and recall at an IoU of 0.5",
        x_label="recall",
        y_label="precision",
        y_range=(0, 1),
    )


def _corners(curve: Sequence[Sequence[float]]) -> Iterator[tuple[float, float]]:
    """Yield the points where a curve turns, to where it comes to 0: the line is the same."""
    for number, (recall, precision) in enumerate(curve):
        near = [one[1] for one in curve[max(0, number - 1) : number + 2]]
        if number in (0, len(curve) - 1) or near != [precision] * len(near):
            yield recall, precision
        if precision == 0:
            return


def _heat(confusion: Mapping[str, Any]) -> Any:
    """Return the confusion matrix of the classes that occur most, None if there are none."""
    matrix, labels = np.array(confusion["matrix"]), confusion["labels"]
    total = matrix.sum(0) + matrix.sum(1)
    order = np.argsort(-total[:-1], kind="stable")[:HEAT_CLASSES]
    kept = [*sorted(n for n in order.tolist() if total[n]), len(labels) - 1]
    if len(kept) < 2:
        return None
    names = [labels[n] for n in kept]
    return heat_map(
        matrix[np.ix_(kept, kept)],
        names,
        names,
        title="Confusion matrix",
        row_title="truth",
        column_title="found",
    )


def _worst(worst: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the images one by one: each is drawn when it is written."""
    for entry in worst:
        image = drawn_boxes(path_of(dict(entry)), entry["true"], entry["found"])
        counts = [f"{entry[key]} {key}" for key in ("missed", "invented", "confused") if entry[key]]
        yield {
            "name": os.path.basename(entry["path"]),
            "path": entry["path"],
            "image": image_data_url(image) if image else None,
            "about": ", ".join(counts) or "no mistake",
        }


def _learning(epochs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a chart of the figures and one of the loss for each stage."""
    for stage, name in STAGES.items():
        own = [entry for entry in epochs if entry["stage"] == stage]
        if len(own) < 2:
            continue
        series = {key: [(float(e["epoch"]), float(e[key])) for e in own] for key in ("AP50", "AP")}
        losses = [(float(e["epoch"]), e["loss"]) for e in own if math.isfinite(e["loss"])]
        yield {
            "title": f"Validation metrics: {name}",
            "chart": line_chart(
                series, title=f"AP50 and AP, {name}", x_label="epoch", y_label="", y_range=(0, 1)
            ),
        }
        yield {
            "title": f"Training loss: {name}",
            "chart": line_chart(
                {"loss": losses}, title=f"Loss, {name}", x_label="epoch", y_label="loss"
            ),
        }
