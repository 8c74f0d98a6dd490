"""``cnnkit train-face``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training

if TYPE_CHECKING:
    from cnnkit.commands.training import TrainedModel

EXAMPLES = """\b
Examples:
  cnnkit train-face people/ -o ours
  cnnkit train-face people/ -o ours --test 0.2
  cnnkit train-face people/ -o ours --loss batch-hard --epochs 20
  cnnkit train-face digits/ -o digits-model --network embedding-small --crop none
  cnnkit verify-face a.jpg b.jpg --embedder ours
"""

DATA_OPTIONS: list[shared.Command] = [
    training.bundle_options,
    shared.csv_root_option,
    click.option(
        "--crop",
        type=click.Choice(["face", "none"]),
        default="face",
        show_default=True,
        help="face uses the largest face, aligned; none uses the whole image.",
    ),
    click.option(
        "--detector",
        type=click.Choice(["yunet", "mtcnn"]),
        default="yunet",
        show_default=True,
        help="What finds the faces; the bundle keeps it.",
    ),
    click.option(
        "--split-by",
        type=click.Choice(["people", "pictures"]),
        default="people",
        show_default=True,
        help="people: no person is in two splits.",
    ),
    training.split_options("people"),
    training.max_bad_option(
        "Maximum number or share of photos that are unreadable or without a face."
    ),
    training.seed_option(),
]

TRAINING_OPTIONS: list[shared.Command] = [
    click.option(
        "--network",
        type=click.Choice(["dlib-face", "embedding-small"]),
        default="dlib-face",
        show_default=True,
        help="dlib-face (pretrained), or a small network trained from scratch.",
    ),
    click.option(
        "--loss",
        type=click.Choice(["head", "semi-hard", "batch-hard", "batch-all", "logistic"]),
        help="Loss; head trains only a logistic unit on |f(a) - f(b)|.  [default: head for "
        "dlib-face, "
        "otherwise semi-hard]",
    ),
    click.option(
        "--margin",
        type=float,
        default=0.2,
        show_default=True,
        metavar="R",
        help="Triplet margin; 0 uses the soft margin of batch-hard.",
    ),
    click.option(
        "--people", type=int, default=16, show_default=True, metavar="N", help="People per batch."
    ),
    click.option(
        "--photos",
        type=int,
        default=4,
        show_default=True,
        metavar="N",
        help="Photos per person in a batch.",
    ),
    click.option(
        "--dimensions",
        type=int,
        default=128,
        show_default=True,
        metavar="N",
        help="Embedding size of embedding-small.",
    ),
    click.option(
        "--size",
        type=int,
        default=64,
        show_default=True,
        metavar="N",
        help="Input size of embedding-small.",
    ),
    click.option(
        "--epochs", type=int, default=30, show_default=True, metavar="N", help="Maximum epochs."
    ),
    click.option(
        "--patience",
        type=int,
        default=8,
        show_default=True,
        metavar="N",
        help="Stop after this many epochs without improvement.",
    ),
    training.learning_rate_option,
    click.option(
        "--augment",
        default="light",
        show_default=True,
        metavar="none|light|strong|FILE",
        help="Augmentation recipe.",
    ),
    training.resume_option,
    click.option(
        "--assert-auc", type=float, metavar="P", help="Exit with status 1 if the AUC is lower."
    ),
    shared.max_pixels_option(),
    shared.workers_option("Threads that read images."),
    training.processes_options,
]


@click.command("train-face", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + TRAINING_OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, assert_auc: float | None, **options: Any) -> None:
    """Train a face embedding model.

    DATA is a folder with one subfolder per person, or a CSV with the columns file and label. The
    bundle works with verify-face, gallery, and evaluate. Exit status: 1 if the AUC is below
    --assert-auc.
    """
    reports = training.reports(options)
    quiet = quiet or not reports
    from cnnkit.cli.display import reading_progress
    from cnnkit.commands.train_face import train_face

    training.check_floors({"--assert-auc": assert_auc})
    started = time.monotonic()
    model = train_face(**options, progress=partial(reading_progress, quiet=quiet))
    if not reports:
        return
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    where = f" on {training.SPLIT_NAMES[model.judged_on]}"
    missed = training.missed([("--assert-auc", assert_auc, model.metrics["auc"])], where)
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run as lines of text."""
    from cnnkit.writers.terminal import printable

    found, card = model.metrics, model.card
    record = card["training"]
    by_people = record["arguments"]["split_by"] == "people"
    whose = "unseen people" if by_people else "people seen in training"
    yield (
        f"{training.SPLIT_NAMES[model.judged_on]}, {found['people']} people, "
        f"{found['same_pairs']:,} same-person and {found['different_pairs']:,} different-person "
        f"pairs ({whose}):"
    )
    yield (
        f"  AUC {found['auc']:.4f}   balanced accuracy {found['accuracy']:.4f} at distance "
        f"{card['verification']['threshold']:.4g}   equal error rate "
        f"{found['equal_error_rate']:.4f}"
    )
    if record["kept"]:
        yield f"  {record['kept']}"
    name = printable(str(model.path))
    yield f"{name}: trained in {seconds:.1f} s. See {name}/report.html. Next:"
    yield f"  cnnkit verify-face --embedder {shlex.quote(name)} A B"
