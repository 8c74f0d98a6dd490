"""What ``cnnkit evaluate`` does once its options are read: it finds the task's own evaluation."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError, broken_rule

log = logging.getLogger("cnnkit")

# The module of each task that a card may name; its `run` takes the opened bundle, the data and
# the command's options, shows the figures, and returns how many inputs could not be read.
EVALUATIONS = {
    "classify": "cnnkit.cli.evaluate_classifier",
    "detect": "cnnkit.cli.evaluate_detector",
    "embed-face": "cnnkit.cli.evaluate_faces",
}
# Options that mean something for some tasks only.
TASKS_OF_OPTIONS = {"pictures": ("detect",), "split": ("classify", "detect")}


def run(data: str, *, model: str, weights: str | None, labels: str | None, **chosen: Any) -> int:
    """Evaluate, show, and return how many pictures could not be read."""
    chosen["report"] = report_path(chosen["report"], chosen["overwrite"])
    bundle = open_model(model, weights, labels)
    if bundle.card.task not in EVALUATIONS:
        rule = f"be a model for one of {', '.join(EVALUATIONS)}"
        raise UsageError(broken_rule("--model", rule, f"one for {bundle.card.task}"))
    for name, tasks in TASKS_OF_OPTIONS.items():
        value = chosen.pop(name) if bundle.card.task not in tasks else None
        if value is not None:
            rule = f"go with a model for {' or '.join(tasks)}"
            raise UsageError(broken_rule(f"--{name}", rule, f"a model for {bundle.card.task}"))
    for note in bundle.notes:
        log.info(note)
    return import_module(EVALUATIONS[bundle.card.task]).run(bundle, data, **chosen)


def report_path(report: str | None, overwrite: bool) -> Path | None:
    """Return the report's path, checked before the work begins."""
    if report is None:
        return None
    path = Path(report)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(broken_rule("--report", "end in .html", report))
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use --overwrite to make it anew.")
    return path
