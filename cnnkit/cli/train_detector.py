"""``cnnkit train-detector``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training

if TYPE_CHECKING:
    from cnnkit.commands.training import TrainedModel

CLASSES_SHOWN = 20

EXAMPLES = """\b
Examples:
  cnnkit train-detector voc:raccoon/ -o raccoons
  cnnkit detect --model raccoons new/
  cnnkit train-detector coco:train.json --validation-data coco:val.json -o street
  cnnkit train-detector yolo:data.yaml -o fast --architecture ssd-lite0
  cnnkit train-detector voc:raccoon/ -o raccoons --resume
"""

DATA_OPTIONS: list[shared.Command] = [
    training.bundle_options,
    training.resume_option,
    click.option(
        "--images",
        "--pictures",
        "images",
        metavar="DIR",
        help="Folder of the images, if not beside the annotations.",
    ),
    click.option("--validation-data", metavar="DATA", help="Separate validation data."),
    training.validation_option("Fraction of images for validation, if DATA has no split.", 0.15),
    training.max_bad_option("Maximum number or share of unreadable images."),
    training.seed_option(),
]

NETWORK_OPTIONS: list[shared.Command] = [
    click.option(
        "--architecture",
        default="nanodet-g",
        show_default=True,
        metavar="NAME",
        help="nanodet-g, yolov3-tiny, yolov3, ssd-lite0, or localizer-lite0 (one box per image).",
    ),
    click.option("--from-scratch", is_flag=True, help="Start from random weights."),
    click.option("--size", type=int, metavar="N", help="Input size, a multiple of 32."),
    click.option(
        "--anchors",
        default="auto",
        show_default=True,
        metavar="auto|default|kmeans",
        help="Anchor boxes of YOLO networks; auto uses k-means if they fit clearly better.",
    ),
    click.option(
        "--box-loss",
        default="yolo",
        show_default=True,
        metavar="yolo|ciou",
        help="Box loss of YOLO networks.",
    ),
]

TRAINING_OPTIONS: list[shared.Command] = [
    click.option(
        "--frozen-epochs",
        type=int,
        metavar="N",
        help="Epochs with a frozen backbone, before --epochs.",
    ),
    click.option("--epochs", type=int, metavar="N", help="Maximum epochs of the whole network."),
    training.learning_rate_option,
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        metavar="N",
        help="Images per batch.",
    ),
    click.option(
        "--augment",
        default="boxes",
        show_default=True,
        metavar="none|light|strong|boxes|FILE",
        help="Augmentation recipe.",
    ),
    click.option(
        "--mosaic",
        type=float,
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Fraction of mosaics of four images, in the first two thirds of training.",
    ),
    click.option(
        "--multi-scale/--one-scale",
        default=None,
        help="Train at several input sizes, or at one.  [default: several, except localizer-lite0]",
    ),
    click.option(
        "--average/--no-average", default=True, help="Use a moving average of the weights."
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        default=15,
        show_default=True,
        metavar="N",
        help="Stop after N epochs without a better AP50 (nanodet-g: AP).",
    ),
    shared.max_pixels_option(),
    shared.workers_option("Threads that read images."),
    training.processes_options,
    click.option(
        "--assert-ap50", type=float, metavar="P", help="Exit with status 1 if AP50 is lower."
    ),
]


@click.command("train-detector", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + NETWORK_OPTIONS + TRAINING_OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, assert_ap50: float | None, **options: Any) -> None:
    """Train an object detector on images with boxes.

    DATA is in COCO JSON, Pascal VOC XML, or YOLO text format; use the prefix coco:, voc:, or
    yolo: where the format is ambiguous. No file of DATA is changed. Invalid boxes are reported
    and repaired or dropped; their images stay.

    Training starts from the embedded models, offline. The bundle works with cnnkit detect and
    cnnkit evaluate; its report.html shows the curves and mistakes. Exit status: 1 if AP50 is
    below --assert-ap50.
    """
    reports = training.reports(options)
    quiet = quiet or not reports
    from cnnkit.cli.display import reading_progress
    from cnnkit.commands.train_detector import train_detector

    training.check_floors({"--assert-ap50": assert_ap50})
    started = time.monotonic()
    model = train_detector(**options, progress=partial(reading_progress, quiet=quiet))
    if not reports:
        return
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    missed = training.missed([("--assert-ap50", assert_ap50, _number(model.metrics["AP50"]))])
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run as lines of text."""
    from cnnkit.writers.terminal import fitted, printable

    found = model.metrics
    yield (
        f"validation, {model.card['training']['data']['pictures']['val']:,} images: "
        f"AP50 {_number(found['AP50']):.4f}   AP {_number(found['AP']):.4f}"
    )
    if len(found["classes"]) > 1:
        for label, figures in list(found["classes"].items())[:CLASSES_SHOWN]:
            shown = "no box" if figures["AP50"] is None else f"{figures['AP50']:.4f}"
            yield f"  {fitted(label, 28)} AP50 {shown}"
    name = printable(str(model.path))
    yield f"{name}: trained in {seconds:.0f} s. See {name}/report.html. Next:"
    yield f"  cnnkit detect --model {printable(training.quoted(model.path))} IMAGES"


def _number(figure: float | None) -> float:
    """Return a figure, NaN where there is none."""
    return math.nan if figure is None else figure
