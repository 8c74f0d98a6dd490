"""The report of ``cnnkit transfer-learn``: how a model was made, and how well it does.

`write_training_report` takes one dict::

    {"evaluation": what `cnnkit.reports.evaluation` shows, of the split that counts,
     "split": "val" or "test",
     "classes": [{"label": str, "train": int, "val": int, "test": int}],
     "findings": [{"severity", "message", "fix", "code": str}],
     "trials": [{"root_features", "regularization", "label_smoothing", "iterations",
                 "train_loss", "validation_loss", "validation_accuracy",
                 "validation_macro_f1"}],
     "chosen": one of the trials, or null where no head was searched,
     "epochs": [{"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}], perhaps empty,
     "kept": a sentence that says which stage's weights the model has, or "",
     "rates": [[rate, loss]] of a search for the learning rate, perhaps empty,
     "reliability_before", "reliability_after": bins on validation,
     "calibration": {"temperature": float, "threshold": float or null},
     "record": the card's ``training``}
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from cnnkit.reports.charts import line_chart, reliability_diagram
from cnnkit.reports.evaluation import evaluation_context
from cnnkit.reports.page import definitions, timestamp, write_page

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def write_training_report(
    path: str | os.PathLike[str],
    training: Mapping[str, Any],
    *,
    title: str,
    thumbnail: Callable[[str], bytes | None] | None = None,
    made: datetime | None = None,
) -> None:
    """Write how a model was made as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        training: The dict of the module's docstring.
        title: The heading.
        thumbnail: Gives a small JPEG, PNG or WebP for a mistake's path, or None.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
        ValueError: When the evaluation is not of its schema.
    """
    record = training["record"]
    context = {
        "title": title,
        "made": timestamp(made),
        **evaluation_context(training["evaluation"], thumbnail),
        "split": SPLIT_NAMES[training["split"]],
        "class_counts": training["classes"],
        "totals": {
            split: sum(entry[split] for entry in training["classes"]) for split in SPLIT_NAMES
        },
        "findings": training["findings"],
        "curves": _curves(training),
        "kept": training["kept"],
        "reliability_before": reliability_diagram(
            training["reliability_before"], title="Accuracy by confidence before calibration"
        ),
        "reliability_after": reliability_diagram(
            training["reliability_after"], title="Accuracy by confidence after calibration"
        ),
        "calibration": training["calibration"],
        "backbone": backbone_choice(record["backbone"]),
        "record": record,
        "options": list(definitions(record["arguments"] | {"seed": record["seed"]})),
        "versions": list(definitions(record["versions"])),
    }
    styles = ["evaluation.css", "training.css"]
    write_page(path, "training.html.jinja", context, styles=styles, scripts=["tables.js"])


def backbone_choice(backbone: Mapping[str, Any]) -> str:
    """Return why a backbone was chosen, "" if the user did.

    Args:
        backbone: The record's, with its ``name``, and ``tried``, the default first, if several
            were.
    """
    tried = backbone.get("tried")
    if not tried:
        return ""
    if backbone["name"] == tried[0]["name"]:
        return f"none of the {len(tried) - 1} others is clearly better on validation"
    return f"the best of {len(tried)} on validation"


def _curves(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the charts of how the weights were found, each with a heading and a sentence."""
    charts = []
    if training["trials"]:
        charts.append(_head_chart(training["trials"], training["chosen"]))
    epochs = training["epochs"]
    if epochs:
        charts.append(_chart("Loss by epoch", epochs, "loss", "Cross-entropy in nats."))
        charts.append(
            _chart("Accuracy by epoch", epochs, "accuracy", "Share of correct predictions.")
        )
    if training["rates"]:
        chart = line_chart(
            {"loss": training["rates"]},
            title="Loss by learning rate",
            x_label="learning rate",
            y_label="loss",
            log_x=True,
        )
        charts.append(
            {"title": "Search for the learning rate", "text": "Smoothed loss.", "chart": chart}
        )
    return charts


def _head_chart(
    trials: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None
) -> dict[str, Any]:
    roots = chosen is not None and chosen["root_features"]
    plain = [t for t in trials if t["root_features"] == roots and not t["label_smoothing"]]
    series = {
        name: [(trial["regularization"], trial[key]) for trial in reversed(plain)]
        for name, key in (("train", "train_loss"), ("validation", "validation_loss"))
    }
    chart = line_chart(
        series,
        title="Log loss of the head by its regularization",
        x_label="L2",
        y_label="log loss",
        log_x=True,
    )
    text = f"{len(trials)} heads on the same frozen features, the least validation loss wins."
    if any(trial["root_features"] for trial in trials):
        text += " Square roots of the features win only by more than the noise of the images."
    if chosen is not None:
        smoothing = chosen["label_smoothing"]
        text += f" Chosen: L2 {chosen['regularization']:g}"
        text += f", label smoothing {smoothing:g}" if smoothing else ", no label smoothing"
        text += ", on square roots of the features." if roots else "."
    return {"title": "Search for the head", "text": text, "chart": chart}


def _chart(title: str, epochs: Sequence[Mapping[str, Any]], key: str, text: str) -> dict[str, Any]:
    """Return the chart of one figure over the epochs; what is not known breaks its line."""

    def points(name: str) -> list[tuple[float, float]]:
        values = [(e["epoch"], e[name]) for e in epochs]
        return [(epoch, math.nan if value is None else value) for epoch, value in values]

    chart: Markup = line_chart(
        {"train": points(key), "validation": points(f"val_{key}")},
        title=title,
        x_label="epoch",
        y_label=key,
    )
    return {"title": title, "text": text, "chart": chart}
