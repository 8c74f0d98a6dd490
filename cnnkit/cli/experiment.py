"""``cnnkit experiment``."""

from __future__ import annotations

import logging
from typing import Any

import click

from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, broken_rule

log = logging.getLogger("cnnkit")

EXAMPLES = """\b
Examples:
  cnnkit experiment residual --report residual.html
  cnnkit experiment residual photos/ --depths 10,26 --epochs 30 --report residual.html
"""


def depths_of(text: str | tuple[int, ...]) -> tuple[int, ...]:
    """Return depths such as ``10,18,34`` as numbers.

    Raises:
        UsageError: They are not whole numbers.
    """
    if isinstance(text, tuple):
        return text
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(broken_rule("--depths", "be whole numbers, such as 10,18,34", repr(text)))
    return tuple(map(int, parts))


@click.group("experiment", epilog=EXAMPLES)
def command() -> None:
    """Run a classroom experiment; takes a few minutes on two CPU cores."""


@command.command("residual", epilog=EXAMPLES)
@click.argument("data", required=False)
@click.option(
    "--depths",
    type=depths_of,
    default="10,18,34,50",
    show_default=True,
    metavar="N,N",
    help="Network depths.",
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
def residual(quiet: bool, epochs: int, **options: Any) -> None:
    """Train plain and residual networks of several depths and compare their training errors.

    Uses the digits of scikit-learn, or DATA, a folder with one subfolder per class.
    """
    from cnnkit.commands.experiment import experiment_residual

    def tell(kind: str, depth: int, epoch: int, error: float) -> None:
        if (not quiet and epoch in (1, epochs)) or epoch % 5 == 0:
            log.info("%s, %d layers, epoch %d: error %.1f %%", kind, depth, epoch, 100 * error)

    found = experiment_residual(**options, epochs=epochs, progress=tell)
    click.echo(f"{'NETWORK':<10}{'LAYERS':>7}{'PARAMETERS':>12}{'TRAINING ERROR':>16}")
    for curve in found.curves:
        click.echo(
            f"{curve.kind:<10}{curve.depth:>7}{curve.parameters:>12,}{curve.last_error:>16.1%}"
        )
    click.echo(found.verdict.sentence)
