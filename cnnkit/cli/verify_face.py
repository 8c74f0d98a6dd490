"""``cnnkit verify-face``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit verify-face passport.jpg selfie.jpg
  cnnkit verify-face passport.jpg selfie.jpg --annotate why.png
  cnnkit verify-face selfie.jpg --gallery team.gallery --as ann
  cnnkit verify-face --pairs pairs.csv --root photos/ -o rows.jsonl
There is no liveness check, and error rates differ between demographic groups.
"""


@click.command("verify-face", epilog=EXAMPLES)
@click.argument("images", nargs=-1, metavar="[A B | PHOTO]")
@click.option(
    "--pairs", metavar="FILE", help="CSV of pairs with the columns a, b, and optionally same."
)
@click.option("--root", metavar="DIR", help="Folder that the paths of --pairs are relative to.")
@click.option("--gallery", metavar="FILE", help="Compare PHOTO with a person in this gallery.")
@click.option("--as", "claimed", metavar="NAME", help="Claimed identity of PHOTO.")
@click.option(
    "--passphrase-file",
    metavar="FILE",
    help="Passphrase file of an encrypted gallery.  [default: prompt]",
)
@click.option(
    "--faces",
    type=click.Choice(["one", "largest", "all"]),
    default="one",
    show_default=True,
    help="For images with several faces: reject, use the largest, or use the closest pair.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Maximum distance for the same person.  [default: the model's]",
)
@click.option("--json", "as_json", is_flag=True, help="Write the row as JSON.")
@click.option("--annotate", metavar="FILE", help="Image file of both images with faces and result.")
@shared.output_options
@shared.format_option("Format of --pairs on standard output.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(images: tuple[str, ...], quiet: bool, **chosen: Any) -> None:
    """Check whether two images show the same person.

    Exit status: 0 for the same person, 1 for different people, 2 if undecided (no face, several
    faces, or an unreadable file). With --pairs: 0 if all pairs succeeded, 1 if some failed.
    """
    from cnnkit.cli.verify_face_run import run

    click.get_current_context().exit(run(images, quiet=quiet, **chosen))
