"""``cnnkit evaluate``: the one door for every task's metrics."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit evaluate --model flowers test/
  cnnkit evaluate --model efficientnet-lite0 labels.csv --root images/ --report report.html
  cnnkit evaluate --model flowers test/ --json > figures.json
  cnnkit evaluate --model yolov3-tiny coco:instances.json --pictures val2017/
  cnnkit evaluate --model dlib-face pairs.txt --root lfw/
"""


@click.command("evaluate", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@shared.model_options("efficientnet-lite0")
@shared.csv_root_option
@click.option("--pictures", metavar="DIR", help="The folder of the pictures that have boxes.")
@click.option(
    "--split", metavar="NAME", help="Only train, val or test of DATA; by default all but train."
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON on standard output.")
@click.option("--report", metavar="FILE.html", help="A page with tables, curves and mistakes.")
@click.option("--overwrite", is_flag=True, help="Make an existing report anew.")
@shared.picture_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(data: str, quiet: bool, **chosen) -> None:
    """Measure a model on labelled pictures.

    For a classifier DATA is a folder with one folder for each class, a folder with train/,
    val/ or test/ of such folders, or a CSV with the columns file and class, and perhaps split.

    For a detector DATA are pictures with boxes: COCO's JSON, Pascal VOC's XML or YOLO's text
    files, coco:, voc: or yolo: before it where it is not plain which. The figures are COCO's,
    by pycocotools.

    For an embedder of faces it is a CSV with the columns a, b and same, or LFW's pairs.txt.

    The exit status is 1 if some pictures could not be read.
    """
    from cnnkit.cli.evaluate_run import run

    failed = run(data, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
