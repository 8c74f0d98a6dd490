"""``cnnkit gallery forget``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit gallery forget team.gallery Ann
  cnnkit gallery forget team.gallery Ann Bob
  cnnkit gallery forget team.gallery --photo Ann/blurred.jpg
"""


@click.command("forget", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--photo",
    "photos",
    multiple=True,
    metavar="PHOTO",
    help="This photo only: its place or number in the gallery, or the file. Repeatable.",
)
@gallery_options.passphrase_options
@shared.verbosity_options
@keeps_inputs
def command(
    gallery: str,
    names: tuple[str, ...],
    photos: tuple[str, ...],
    quiet: bool,
    passphrase_file: str | None,
) -> None:
    """Remove people, or single photos, from a gallery: no byte of them is left in the file.

    What backups, snapshots and the disk itself keep is out of reach. A name or photo that is not
    there removes nothing. With --photo, NAME says whose photo is meant; whose last one is removed
    is forgotten.
    """
    from cnnkit.cli.gallery_forget_run import run

    run(gallery, names, photos, passphrase_file=passphrase_file)
