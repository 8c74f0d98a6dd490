"""``cnnkit convert-boxes``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit convert-boxes voc:raccoon/annotations coco:raccoon.json
  cnnkit convert-boxes coco:instances.json yolo:photos/labels --pictures photos/images
  cnnkit convert-boxes yolo:street/ voc:Annotations --mend
"""


@click.command("convert-boxes", epilog=EXAMPLES)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option(
    "--pictures", metavar="DIR", help="The folder of the pictures, if they are elsewhere."
)
@click.option(
    "--labels", metavar="FILE", help="One label a line: the classes to keep, in their order."
)
@click.option(
    "--mend", "mends", is_flag=True, help="Put wrong boxes right, or leave them out, by name."
)
@click.option("--overwrite", is_flag=True, help="Replace TO, or write among its files.")
@shared.verbosity_options
@keeps_inputs
def command(source: str, target: str, quiet: bool, **chosen) -> None:
    """Convert boxes between COCO's JSON, Pascal VOC's XML and YOLO's text files.

    FROM and TO are coco:FILE.json, voc:FOLDER or yolo:FOLDER; FROM may go without the prefix.
    YOLO counts in shares of the picture, so its pictures must be there.

    Whatever the format TO has no place for is said on standard error, and no picture is ever
    left out. Boxes go as they are, also wrong ones, unless --mend is given. The exit status is
    1 if something of FROM could not be taken along.
    """
    from cnnkit.cli.convert_boxes_run import run

    complete = run(source, target, quiet=quiet, **chosen)
    click.get_current_context().exit(0 if complete else 1)
