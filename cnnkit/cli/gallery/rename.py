"""``cnnkit gallery rename``."""

from __future__ import annotations

import click

from cnnkit.cli import galleries
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
@click.option("--merge", is_flag=True, help="Merge with NEW if that person is already enrolled.")
@galleries.passphrase_options
@shared.verbosity_options
def command(
    gallery: str, name: str, new: str, merge: bool, quiet: bool, passphrase_file: str | None
) -> None:
    """Rename a person; no byte of the old name remains in the file.

    The photos are not processed again. If a stored path contains a folder with the old name,
    that folder is renamed in the stored path.
    """
    from cnnkit.names import counted
    from cnnkit.writers.terminal import printable

    with galleries.open_gallery(gallery, passphrase_file) as opened:
        photos = opened.rename(name, new, merge=merge)
    if not quiet:
        click.echo(f"{printable(name)} is now {printable(new)}, {counted(photos, 'photo')}")
