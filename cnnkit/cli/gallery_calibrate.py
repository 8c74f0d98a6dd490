"""``cnnkit gallery calibrate``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit gallery calibrate team.gallery people/
  cnnkit gallery calibrate team.gallery people/ --far 0.0001
  cnnkit gallery calibrate team.gallery people/ --dry-run --json
"""


@click.command("calibrate", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("data", metavar="DATA")
@click.option(
    "--far",
    type=float,
    default=0.001,
    show_default=True,
    metavar="P",
    help="The share of pairs of two people that may be taken for one.",
)
@click.option("--dry-run", is_flag=True, help="Say it, and leave the gallery as it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--faces",
    type=click.Choice(["one", "largest"]),
    default="one",
    show_default=True,
    help="Where a photo has several faces: leave it out, or take the largest.",
)
@gallery_options.passphrase_options
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(gallery: str, data: str, quiet: bool, **chosen) -> None:
    """Find the threshold for a false-accept rate on photos of your own, and keep it.

    DATA has one folder for each person, at best other photos than those enrolled. Too few pairs
    for the rate are said to be too few: then nothing is kept, and the exit status is 1.
    """
    from cnnkit.cli.gallery_calibrate_run import run

    enough = run(gallery, data, quiet=quiet, **chosen)
    click.get_current_context().exit(0 if enough else 1)
