"""``cnnkit gallery identify``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit gallery identify team.gallery party.jpg
  cnnkit gallery identify team.gallery photos/ -o rows.jsonl
  cnnkit gallery identify team.gallery photos/ -o rows.jsonl --resume
  cnnkit gallery identify team.gallery door.jpg --faces largest --threshold 0.5
"""


@click.command("identify", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@gallery_options.decision_options
@click.option(
    "--faces",
    type=click.Choice(["all", "largest", "one"]),
    default="all",
    show_default=True,
    help="Which faces of a picture; one: several are an error.",
)
@gallery_options.passphrase_options
@shared.output_options
@shared.format_option()
@shared.null_separated_option
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(gallery: str, inputs: tuple[str, ...], null_separated: bool, quiet: bool, **chosen):
    """Name the faces of pictures: a person of the gallery, or 'unknown'.

    Rows go to standard output, or to -o FILE: one for each input, in order. A picture without
    a face has a row with no faces. The exit status is 1 if some inputs failed.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.gallery_identify_run import run

    failed = run(gallery, paths, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
