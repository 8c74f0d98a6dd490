"""``cnnkit gallery list``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit gallery list team.gallery
  cnnkit gallery list team.gallery --photos
  cnnkit gallery list team.gallery --json
"""


@click.command("list", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.option("--photos", is_flag=True, help="Every photo: its number, person and place.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@gallery_options.passphrase_options
@shared.verbosity_options
def command(
    gallery: str, quiet: bool, photos: bool, as_json: bool, passphrase_file: str | None
) -> None:
    """Show who is enrolled, whose vectors a gallery holds, and how it decides."""
    from cnnkit.cli.gallery_list_run import run

    run(gallery, photos=photos, as_json=as_json, passphrase_file=passphrase_file)
