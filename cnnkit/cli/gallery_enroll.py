"""``cnnkit gallery enroll``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit gallery enroll team.gallery people/
  cnnkit gallery enroll team.gallery --name Ann ann1.jpg ann2.jpg
  cnnkit gallery enroll secret.gallery people/ --encrypt
  cnnkit gallery enroll team.gallery people/ --no-paths --faces largest
"""


@click.command("enroll", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("inputs", nargs=-1, required=True, metavar="PEOPLE/|PHOTO...")
@click.option("--name", metavar="NAME", help="The inputs are photos of this person.")
@click.option(
    "--faces",
    type=click.Choice(["one", "largest"]),
    default="one",
    show_default=True,
    help="Where a photo has several faces: refuse it, or take the largest.",
)
@click.option("--encrypt", is_flag=True, help="Seal a new gallery with a passphrase.")
@gallery_options.passphrase_options
@click.option("--no-paths", is_flag=True, help="Keep no names of files.")
@click.option("--move", is_flag=True, help="Rename photos that are enrolled as somebody else.")
@click.option("--json", "as_json", is_flag=True, help="A row for each photo, JSON Lines.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(gallery: str, inputs: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Take people's photos into a gallery, which is made if it is not there.

    PEOPLE/ has one folder for each person. What is enrolled already, by content, is not looked
    at again. The exit status is 1 if some photos failed.
    """
    from cnnkit.cli.gallery_enroll_run import run

    failed = run(gallery, list(inputs), quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
