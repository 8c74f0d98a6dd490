"""The report of ``cnnkit train-face``: how a similarity was learned, and how well it does.

`write_face_training` takes one dict::

    {"split": "val" or "test", "split_by": "people" or "pictures", "data": str,
     "figures": {split: the dict of `cnnkit.faces.pairs.summary`},
     "threshold": float, "metric": str, "kept": a sentence or "",
     "epochs": [{"epoch", "loss", "val_loss", "auc", "mean_same", "mean_different"}], perhaps empty,
     "distances": {name: [[distance, share of the pairs]]},
     "record": the card's ``training``, "left_out": [{"path", "reason"}]}
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnkit.reports.charts import line_chart
from cnnkit.reports.escaping import visible
from cnnkit.reports.page import definitions, timestamp, write_page

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
MOST_LEFT_OUT = 200


def write_face_training(
    path: str | os.PathLike[str],
    training: Mapping[str, Any],
    *,
    title: str,
    made: datetime | None = None,
) -> None:
    """Write how a similarity was learned as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        training: The dict of the module's docstring.
        title: The heading.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    record = training["record"]
    left_out = training["left_out"]
    context = {
        **training,
        "title": title,
        "made": timestamp(made),
        "split_name": SPLIT_NAMES[training["split"]],
        "judged": training["figures"][training["split"]],
        "figures": {SPLIT_NAMES[k]: v for k, v in training["figures"].items()},
        "charts": _charts(training),
        "left_out": [{k: visible(v) for k, v in entry.items()} for entry in left_out],
        "left_out_shown": MOST_LEFT_OUT,
        "options": list(definitions(record["arguments"] | {"seed": record["seed"]})),
        "versions": list(definitions(record["versions"])),
        "images": record["data"]["pictures"],
        "people": record["data"]["people"],
    }
    styles = ["evaluation.css", "training.css"]
    write_page(path, "face_training.html.jinja", context, styles=styles)


def _charts(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the charts, each with a heading and a sentence."""
    charts = [
        {
            "title": "Distances",
            "text": "Share of the pairs by distance: the less the two overlap, the better. "
            f"The threshold is {training['threshold']:.4g}.",
            "chart": line_chart(
                {
                    name: [tuple(p) for p in points]
                    for name, points in training["distances"].items()
                },
                title="Pairs by distance",
                x_label="distance",
                y_label="share of the pairs",
            ),
        }
    ]
    epochs = training["epochs"]
    for title, text, names in (
        ("Loss by epoch", "Training and validation.", {"train": "loss", "validation": "val_loss"}),
        (
            "Distances by epoch",
            "Means on validation; if both fall to 0, the embeddings have collapsed.",
            {"same person": "mean_same", "different people": "mean_different"},
        ),
        ("Area under the ROC curve", "On validation.", {"validation": "auc"}),
    ):
        chart = _epoch_chart(epochs, title, names)
        if chart is not None:
            charts.append({"title": title, "text": text, "chart": chart})
    return charts


def _epoch_chart(
    epochs: Sequence[Mapping[str, Any]], title: str, names: Mapping[str, str]
) -> Any | None:
    """Return the chart of some figures over the epochs, or None if none is known."""
    series = {
        shown: [(e["epoch"], math.nan if e.get(key) is None else e[key]) for e in epochs]
        for shown, key in names.items()
    }
    if not any(math.isfinite(y) for points in series.values() for _, y in points):
        return None
    return line_chart(series, title=title, x_label="epoch", y_label="")
