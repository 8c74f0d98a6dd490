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

DATA_OPTIONS = [
    training.bundle_options,
    training.resume_option,
    click.option(
        "--images",
        "--pictures",
        "images",
        metavar="DIR",
        help="The folder of the images, if elsewhere.",
    ),
    click.option("--validation-data", metavar="DATA", help="Other images to validate on."),
    training.validation_option("Of the images, where DATA has no split of its own.", 0.15),
    training.max_bad_option(),
    training.seed_option(),
]

NETWORK_OPTIONS = [
    click.option(
        "--architecture",
        default="yolov3-tiny",
        show_default=True,
        metavar="NAME",
        help="yolov3-tiny, yolov3, ssd-lite0, or localizer-lite0: one object an image.",
    ),
    click.option("--from-scratch", is_flag=True, help="Begin with random weights."),
    click.option("--size", type=int, metavar="N", help="Side of the input, a multiple of 32."),
    click.option(
        "--anchors",
        default="auto",
        show_default=True,
        metavar="auto|default|kmeans",
        help="auto: those of k-means where they fit clearly better.",
    ),
    click.option(
        "--box-loss",
        default="yolo",
        show_default=True,
        metavar="yolo|ciou",
        help="How YOLO's boxes are compared.",
    ),
]

TRAINING_OPTIONS = [
    click.option("--frozen-epochs", type=int, metavar="N", help="First, with a frozen backbone."),
    click.option("--epochs", type=int, metavar="N", help="Then, of the whole network, at most."),
    training.learning_rate_option,
    click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True),
    click.option(
        "--augment",
        default="boxes",
        show_default=True,
        metavar="none|light|strong|boxes|FILE",
        help="The recipe.",
    ),
    click.option(
        "--mosaic",
        type=float,
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Of four images put together, in the first two thirds.",
    ),
    click.option("--multi-scale/--one-scale", default=True, show_default=True),
    click.option("--average/--no-average", default=True, help="Keep a moving average."),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        default=15,
        show_default=True,
        metavar="N",
        help="Stop after N epochs without a higher AP50.",
    ),
    shared.max_pixels_option(None),
    shared.workers_option(None),
    click.option("--assert-ap50", type=float, metavar="P", help="Status 1 if it is lower."),
]


@click.command("train-detector", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + NETWORK_OPTIONS + TRAINING_OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, assert_ap50: float | None, **options: Any) -> None:
    """Train a detector on images with boxes and leave a model of your own.

    DATA is COCO's JSON, a folder of Pascal VOC's XML, or YOLO's text files, coco:, voc: or
    yolo: before it where it is not plain which. No file of it is changed. A wrong box is named
    and left out, or put right; its image stays.

    Weights are taken over from the embedded models, offline. The bundle works at once in
    cnnkit detect and cnnkit evaluate; its report.html shows curves and mistakes. The exit
    status is 1 if the AP50 misses --assert-ap50.
    """
    from cnnkit.cli.reading_progress import reading_progress
    from cnnkit.commands.train_detector import train_detector

    training.check_floors({"--assert-ap50": assert_ap50})
    started = time.monotonic()
    model = train_detector(**options, progress=partial(reading_progress, quiet=quiet))
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    missed = training.missed([("--assert-ap50", assert_ap50, _number(model.metrics["AP50"]))])
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run, for people."""
    from cnnkit.writers.terminal import fitted, printable

    found = model.metrics
    yield (
        f"validation, {model.card['training']['data']['pictures']['val']:,} images: "
        f"AP50 {_number(found['AP50']):.4f}   AP {_number(found['AP']):.4f}"
    )
    if len(found["classes"]) > 1:
        for label, figures in list(found["classes"].items())[:CLASSES_SHOWN]:
            yield f"  {fitted(label, 28)} AP50 {figures['AP50']:.4f}"
    name = printable(str(model.path))
    yield f"{name}: made in {seconds:.0f} s. Look at {name}/report.html, then:"
    yield f"  cnnkit detect --model {printable(training.quoted(model.path))} IMAGES"


def _number(figure: float | None) -> float:
    """Return a figure, NaN where there is none."""
    return math.nan if figure is None else figure
