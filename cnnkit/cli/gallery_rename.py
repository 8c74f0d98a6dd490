"""``cnnkit gallery rename``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit gallery rename team.gallery Ann "Ann Miller"
  cnnkit gallery rename team.gallery "A. Miller" "Ann Miller" --merge
"""


@click.command("rename", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("name", metavar="NAME")
@click.argument("new", metavar="NEW")
@click.option("--merge", is_flag=True, help="NEW is enrolled already: make both one person.")
@gallery_options.passphrase_options
@shared.verbosity_options
def command(
    gallery: str, name: str, new: str, merge: bool, quiet: bool, passphrase_file: str | None
) -> None:
    """Give a person another name; no byte of the old one is left in the file.

    The photos stay, and are not looked at again. Where one lay in a folder of the old name, its
    place in the gallery has the new name too.
    """
    from cnnkit.cli.gallery_run import open_gallery
    from cnnkit.writers.terminal import printable

    with open_gallery(gallery, passphrase_file) as opened:
        photos = opened.rename(name, new, merge=merge)
    if not quiet:
        click.echo(f"{printable(name)} is {printable(new)} now, {photos:,} photos")
