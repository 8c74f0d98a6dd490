"""``cnnkit gallery forget``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit gallery forget team.gallery Ann
  cnnkit gallery forget team.gallery Ann Bob
"""


@click.command("forget", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@gallery_options.passphrase_options
@shared.verbosity_options
def command(gallery: str, names: tuple[str, ...], quiet: bool, passphrase_file: str | None) -> None:
    """Remove people from a gallery: no byte of them is left in the file.

    What backups, snapshots and the disk itself keep is out of reach. A name that is not there
    removes nobody.
    """
    from cnnkit.cli.gallery_run import open_gallery
    from cnnkit.writers.terminal import printable

    with open_gallery(gallery, passphrase_file) as opened:
        for name, photos in opened.forget(names).items():
            click.echo(f"{printable(name)}: forgotten, {photos:,} photos")
