"""What ``cnnkit experiment residual`` does once its options are read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.experiment import Pictures, Settings, run, verdict
from cnnkit.lab.experiment.pictures import digits, folder
from cnnkit.reports.experiment import write_residual_report
from cnnkit.writers.replacing import replacing

log = logging.getLogger("cnnkit")


def run_residual(data: str | None, *, quiet: bool, **chosen: Any) -> None:
    """Run the experiment and show what it comes to."""
    targets = [_target(name, chosen) for name in ("report", "json_file")]
    settings = Settings(
        depths=_depths(chosen["depths"]),
        epochs=chosen["epochs"],
        batch_size=chosen["batch_size"],
        learning_rate=chosen["learning_rate"],
        seed=chosen["seed"],
    )
    pictures: Pictures = folder(data, chosen["size"]) if data else digits()
    for path, reason in pictures.failures:
        log.error("%s: %s", path, reason)

    def tell(kind: str, depth: int, epoch: int, error: float) -> None:
        if (not quiet and epoch in (1, settings.epochs)) or epoch % 5 == 0:
            log.info("%s, %d layers, epoch %d: error %.1f %%", kind, depth, epoch, 100 * error)

    curves = run(pictures, settings, tell)
    said = verdict(curves)
    click.echo(f"{'NETWORK':<10}{'LAYERS':>7}{'PARAMETERS':>12}{'TRAINING ERROR':>16}")
    for curve in curves:
        click.echo(
            f"{curve.kind:<10}{curve.depth:>7}{curve.parameters:>12,}{curve.last_error:>16.1%}"
        )
    click.echo(said.sentence)
    result = {
        "schema_version": 1,
        "experiment": "residual",
        "data": {
            "name": pictures.name,
            "pictures": len(pictures.labels),
            "classes": pictures.classes,
            "side": int(pictures.inputs.shape[1]),
        },
        "settings": settings.to_dict(),
        "curves": [curve.to_dict() for curve in curves],
        "verdict": vars(said),
    }
    report, numbers = targets
    if report is not None:
        write_residual_report(report, result)
    if numbers is not None:
        with replacing(numbers) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())


def _depths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(broken_rule("--depths", "be whole numbers, such as 10,18,34", repr(text)))
    return tuple(map(int, parts))


def _target(name: str, chosen: dict[str, Any]) -> Path | None:
    """Return a file to write, refused before the work begins where it cannot be."""
    option, suffixes = {
        "report": ("--report", (".html", ".htm")),
        "json_file": ("--json", (".json",)),
    }[name]
    if not chosen[name]:
        return None
    path = Path(chosen[name])
    if path.suffix.lower() not in suffixes:
        raise UsageError(broken_rule(option, f"end in {suffixes[0]}", path))
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(broken_rule(option, "name a file in a folder that exists", path))
    if path.exists() and not chosen["overwrite"]:
        raise UsageError(f"{path} exists already. Use --overwrite to make it anew.")
    return path
