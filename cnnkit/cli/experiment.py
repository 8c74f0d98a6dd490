"""``cnnkit experiment``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit experiment residual --report residual.html
  cnnkit experiment residual photos/ --depths 10,26 --epochs 30 --report residual.html
"""


@click.group("experiment", epilog=EXAMPLES)
def command() -> None:
    """Try what a course says, on two processors in some minutes."""


@command.command("residual", epilog=EXAMPLES)
@click.argument("data", required=False)
@click.option("--depths", default="10,18,34,50", show_default=True, metavar="N,N", help="Layers.")
@click.option(
    "--epochs", type=int, default=15, show_default=True, metavar="N", help="Passes over the data."
)
@click.option("--batch-size", type=int, default=128, show_default=True, metavar="N")
@click.option("--learning-rate", type=float, default=0.1, show_default=True, metavar="R")
@click.option(
    "--size",
    type=click.IntRange(8, 128),
    default=32,
    show_default=True,
    metavar="N",
    help="Side of DATA's pictures.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
@click.option("--json", "json_file", metavar="FILE.json", help="All numbers.")
@click.option("--report", metavar="FILE.html", help="The curves.")
@click.option("--overwrite", is_flag=True, help="Make existing files anew.")
@shared.verbosity_options
@keeps_inputs
def residual(data: str | None, quiet: bool, **chosen) -> None:
    """Train plain and residual networks of several depths and compare their training errors.

    On scikit-learn's digits, or on DATA, a folder with a folder for each class.
    """
    from cnnkit.cli.experiment_run import run_residual

    run_residual(data, quiet=quiet, **chosen)
