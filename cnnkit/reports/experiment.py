"""The report of ``cnnkit experiment residual``: training error against epoch and depth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnkit.reports.charts import line_chart
from cnnkit.reports.page import definitions, timestamp, write_page


def write_residual_report(
    path: str | os.PathLike[str],
    result: Mapping[str, Any],
    *,
    made: datetime | None = None,
) -> None:
    """Write the curves of an experiment into one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        result: The dict of ``cnnkit experiment residual --json``.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    curves = result["curves"]
    top = max(max(error or 0 for error in curve["errors"]) for curve in curves)
    charts = [
        (kind, _against_epochs(kind, [c for c in curves if c["kind"] == kind], top))
        for kind in ("plain", "residual")
    ]
    context = {
        "title": "Depth, with and without skips",
        "made": timestamp(made),
        "data": result["data"],
        "options": list(definitions(result["settings"])),
        "verdict": result["verdict"],
        "charts": charts,
        "by_depth": _against_depth(curves),
        "curves": curves,
        "ended": _ended(curves[0].get("averaged", len(curves[0]["errors"]))),
    }
    styles = ["training.css", "experiment.css"]
    write_page(path, "experiment.html.jinja", context, styles=styles)


def _ended(averaged: int) -> str:
    """Return what the error at the end is, in words."""
    if averaged == 1:
        return "The error in the only epoch."
    return f"The mean of the last {'two' if averaged == 2 else 'three'} epochs."


def _against_epochs(kind: str, curves: Sequence[Mapping[str, Any]], top: float) -> Any:
    series = {
        f"{curve['depth']} layers": [
            (epoch, float("nan") if error is None else error)
            for epoch, error in enumerate(curve["errors"], start=1)
        ]
        for curve in curves
    }
    return line_chart(
        series,
        title=f"Training error of the {kind} networks",
        x_label="epoch",
        y_label="training error",
        y_range=(0, max(0.1, top)),
    )


def _against_depth(curves: Sequence[Mapping[str, Any]]) -> Any:
    series = {
        kind: [(c["depth"], c["last_error"]) for c in curves if c["kind"] == kind]
        for kind in ("plain", "residual")
    }
    return line_chart(
        series,
        title="Training error at the end, by depth",
        x_label="layers",
        y_label="training error",
        y_range=(0, max(0.1, *(c["last_error"] for c in curves))),
    )
