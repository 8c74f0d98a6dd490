"""``cnnkit doctor``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit doctor photos/
  cnnkit doctor labels.csv --root images/ --report doctor.html
  cnnkit doctor coco:instances.json --pictures images/
  cnnkit doctor photos/ --json | python -m json.tool
"""


@click.command("doctor", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@shared.csv_root_option
@click.option("--pictures", metavar="DIR", help="The folder of the pictures that have boxes.")
@click.option(
    "--task",
    type=click.Choice(["auto", "classify", "detect"]),
    default="auto",
    show_default=True,
    help="What DATA is for: folders or a CSV of classes, or images with boxes.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on standard output.")
@click.option("--report", metavar="FILE.html", help="A page with thumbnails of what was found.")
@click.option("--overwrite", is_flag=True, help="Make an existing report anew.")
@shared.max_pixels_option("Larger pictures count as unreadable.  [default: about 179 million]")
@shared.workers_option("Threads that read.  [default: one a processor]")
@shared.verbosity_options
@keeps_inputs
def command(data: str, quiet: bool, **chosen) -> None:
    """Say what is wrong with a training set, before training.

    DATA is a folder with one folder for each class, a folder with train/ and val/ (and test/)
    of such folders, or a CSV with the columns file, label and perhaps split.

    Found are unreadable files, exact and near copies (mirrored ones too), the same picture in
    two splits or two classes, wrong endings, pictures that EXIF turns, tiny and blank ones,
    classes with too few pictures, imbalance, and classes that differ between splits. No file
    is changed.

    DATA may also be pictures with boxes: COCO's JSON, Pascal VOC's XML or YOLO's text files,
    coco:, voc: or yolo: before it where it is not plain which. Found are boxes outside the
    picture, empty, swapped, twice, of unknown classes or of missing pictures, each by name.

    The exit status is 1 if an error or a warning would hurt training, else 0: notes harm
    nothing.
    """
    import sys

    from cnnkit.cli.doctor_run import run

    sys.exit(1 if run(data, quiet=quiet, **chosen) else 0)
