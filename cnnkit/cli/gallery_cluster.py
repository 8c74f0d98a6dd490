"""``cnnkit gallery cluster``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit gallery cluster photos/
  cnnkit gallery cluster photos/ --sort-into people/
  cnnkit gallery cluster photos/ --sort-into people/ --how move
  cnnkit gallery cluster photos/ --sort-into people/ --how move --resume
"""


@click.command("cluster", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@shared.sorting_options("Put pictures into a folder for each person.")
@click.option("--resume", is_flag=True, help="Finish a killed --sort-into from its plan.")
@click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Faces at most so far apart are neighbours.  [default: the embedder's]",
)
@click.option(
    "--min-faces",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Of a person; all others go to _others.",
)
@click.option("--json", "as_json", is_flag=True, help="A row for each picture, JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(inputs: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Sort pictures by the people on them, without any names.

    Without --sort-into it says what it would do and touches nothing. With it, the plan is written
    to DIR/plan.jsonl before the first picture is. The exit status is 1 if some inputs failed.
    """
    from cnnkit.cli.gallery_cluster_run import run

    failed = run(list(inputs), quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
