"""``cnnkit convert-boxes``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.formats import BoxProblem

log = logging.getLogger("cnnkit")

SHOWN = 5

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
    "--images",
    "--pictures",
    "images",
    metavar="DIR",
    help="Folder of the images, if not beside the annotations.",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="Text file with one label per line: the classes to keep, in order.",
)
@click.option(
    "--mend", is_flag=True, help="Repair invalid boxes, or drop those that cannot be repaired."
)
@click.option("--overwrite", is_flag=True, help="Overwrite TO, or add to its files.")
@shared.verbosity_options
def command(quiet: bool, **options: Any) -> None:
    """Convert boxes between COCO's JSON, Pascal VOC's XML and YOLO's text files.

    FROM and TO are coco:FILE.json, voc:FOLDER, or yolo:FOLDER; the prefix of FROM is optional.
    YOLO boxes are relative to the image size, so YOLO needs the images.

    Anything that the target format cannot represent is reported on standard error; no image is
    ever dropped. Boxes are copied unchanged, even invalid ones, unless --mend is given. Exit
    status: 1 if something could not be converted.
    """
    from cnnkit.commands.convert_boxes import convert_boxes

    done = convert_boxes(**options)
    _tell(done.problems)
    for sentence in (*done.lost, *done.notes):
        log.warning("%s", sentence)
    if not quiet:
        click.echo(
            f"{done.source_form} to {done.target_form}: {done.images:,} images, "
            f"{done.boxes:,} boxes, classes: {len(done.classes):,}",
            err=True,
        )
    click.get_current_context().exit(0 if done.complete else 1)


def _tell(problems: Iterable[BoxProblem]) -> None:
    """Report the invalid boxes, a few of each kind."""
    from cnnkit.formats import PROBLEMS

    by_code: dict[str, list[BoxProblem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    for code, found in by_code.items():
        log.warning("%s, %d: %s", code, len(found), PROBLEMS[code])
        for problem in found[:SHOWN]:
            log.warning("  %s: %s", problem.path, problem.detail)
        if len(found) > SHOWN:
            log.warning("  and %d more", len(found) - SHOWN)
