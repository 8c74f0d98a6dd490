"""``cnnkit experiment``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, broken_rule

if TYPE_CHECKING:
    from cnnkit.lab.experiment import ImageSet

log = logging.getLogger("cnnkit")

EXAMPLES = """\b
Examples:
  cnnkit experiment residual --report residual.html
  cnnkit experiment residual photos/ --depths 10,26 --epochs 30 --report residual.html
"""


@click.group("experiment", epilog=EXAMPLES)
def command() -> None:
    """Run a classroom experiment; takes a few minutes on two CPU cores."""


@command.command("residual", epilog=EXAMPLES)
@click.argument("data", required=False)
@click.option(
    "--depths", default="10,18,34,50", show_default=True, metavar="N,N", help="Network depths."
)
@click.option(
    "--epochs", type=int, default=15, show_default=True, metavar="N", help="Number of epochs."
)
@click.option(
    "--batch-size",
    type=int,
    default=128,
    show_default=True,
    metavar="N",
    help="Images per batch.",
)
@click.option(
    "--learning-rate",
    type=float,
    default=0.1,
    show_default=True,
    metavar="R",
    help="Initial learning rate.",
)
@click.option(
    "--size",
    type=click.IntRange(8, 128),
    default=32,
    show_default=True,
    metavar="N",
    help="Image size for DATA.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed.",
)
@click.option("--json", "json_file", metavar="FILE.json", help="Write all results as JSON.")
@click.option("--report", metavar="FILE.html", help="HTML report with the curves.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
@shared.verbosity_options
@keeps_inputs
def residual(data: str | None, quiet: bool, **chosen: Any) -> None:
    """Train plain and residual networks of several depths and compare their training errors.

    Uses the digits of scikit-learn, or DATA, a folder with one subfolder per class.
    """
    run_residual(data, quiet=quiet, **chosen)


def run_residual(data: str | None, *, quiet: bool, **chosen: Any) -> None:
    """Run the experiment and show its results."""
    from cnnkit.lab.experiment import ExperimentSettings, run, verdict
    from cnnkit.lab.experiment.images import digits, folder
    from cnnkit.reports.experiment import write_residual_report
    from cnnkit.writers.replacing import replacing

    targets = [_target(name, chosen) for name in ("report", "json_file")]
    settings = ExperimentSettings(
        depths=_depths(chosen["depths"]),
        epochs=chosen["epochs"],
        batch_size=chosen["batch_size"],
        learning_rate=chosen["learning_rate"],
        seed=chosen["seed"],
    )
    images: ImageSet = folder(data, chosen["size"]) if data else digits()
    for path, reason in images.failures:
        log.error("%s: %s", path, reason)

    def tell(kind: str, depth: int, epoch: int, error: float) -> None:
        if (not quiet and epoch in (1, settings.epochs)) or epoch % 5 == 0:
            log.info("%s, %d layers, epoch %d: error %.1f %%", kind, depth, epoch, 100 * error)

    curves = run(images, settings, tell)
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
            "name": images.name,
            "pictures": len(images.labels),
            "classes": images.classes,
            "side": int(images.inputs.shape[1]),
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
    """Return a file to write, checked before the work begins."""
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
        raise UsageError(f"{path} exists already. Use --overwrite to overwrite it.")
    return path
