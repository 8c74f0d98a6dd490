"""``cnnkit verify-face``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit verify-face passport.jpg selfie.jpg
  cnnkit verify-face passport.jpg selfie.jpg --annotate why.png
  cnnkit verify-face selfie.jpg --gallery team.gallery --as ann
  cnnkit verify-face --pairs pairs.csv --root photos/ -o rows.jsonl
There is no check that a face is alive, and error rates differ between groups of people.
"""


@click.command("verify-face", epilog=EXAMPLES)
@click.argument("images", nargs=-1, metavar="[A B | PHOTO]")
@click.option("--pairs", metavar="FILE", help="Many pairs: a CSV with a, b and perhaps same.")
@click.option("--root", metavar="DIR", help="The folder that the pairs' paths are relative to.")
@click.option("--gallery", metavar="FILE", help="Compare PHOTO with a person of this gallery.")
@click.option("--as", "claimed", metavar="NAME", help="Who PHOTO is said to be.")
@click.option("--passphrase-file", metavar="FILE", help="Of a sealed gallery.  [default: ask]")
@click.option(
    "--faces",
    type=click.Choice(["one", "largest", "all"]),
    default="one",
    show_default=True,
    help="Where an image has several: refuse, the largest, or the nearest two of all.",
)
@click.option(
    "--threshold", type=float, metavar="D", help="The largest distance.  [default: the model's]"
)
@click.option("--json", "as_json", is_flag=True, help="The row as JSON.")
@click.option("--annotate", metavar="FILE", help="Both images with faces and verdict.")
@shared.output_options
@shared.format_option("Of --pairs on standard output.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(images: tuple[str, ...], quiet: bool, **chosen) -> None:
    """Say whether two images show one person.

    The exit status is 0 for one person, 1 for two, 2 if it cannot be told: no face, several
    faces, a file that cannot be read. With --pairs it tells whether all rows are ok.
    """
    from cnnkit.cli.verify_face_run import run

    click.get_current_context().exit(run(images, quiet=quiet, **chosen))
