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

DATA_OPTIONS = [
    training.bundle_options,
    shared.csv_root_option,
    click.option(
        "--crop",
        type=click.Choice(["face", "none"]),
        default="face",
        show_default=True,
        help="face: the largest one, aligned; none: the whole image.",
    ),
    click.option(
        "--split-by",
        type=click.Choice(["people", "pictures"]),
        default="people",
        show_default=True,
        help="people: nobody is in two splits.",
    ),
    training.split_options("Of them."),
    training.max_bad_option("Unreadable or faceless photos to leave out before giving up."),
    training.seed_option("Of all that is drawn."),
]

TRAINING_OPTIONS = [
    click.option(
        "--network",
        type=click.Choice(["dlib-face", "embedding-small"]),
        default="dlib-face",
        show_default=True,
        help="The embedded one, or a small one from scratch.",
    ),
    click.option(
        "--loss",
        type=click.Choice(["head", "semi-hard", "batch-hard", "batch-all", "logistic"]),
        help="head: a logistic unit on |f(a) - f(b)|, f as it is.  [default: head for dlib-face, "
        "else semi-hard]",
    ),
    click.option(
        "--margin",
        type=float,
        default=0.2,
        show_default=True,
        help="Of the triplets; 0: the soft margin of batch-hard.",
    ),
    click.option("--people", type=int, default=16, show_default=True, help="P, in a batch."),
    click.option("--photos", type=int, default=4, show_default=True, help="K, of each of them."),
    click.option("--dimensions", type=int, default=128, show_default=True, help="Of f, small net."),
    click.option("--size", type=int, default=64, show_default=True, help="Its input's side."),
    click.option("--epochs", type=int, default=30, show_default=True, help="At most."),
    click.option("--patience", type=int, default=8, show_default=True, help="Epochs to wait."),
    training.learning_rate_option,
    click.option("--augment", default="light", show_default=True, metavar="none|light|strong|FILE"),
    training.resume_option,
    click.option("--assert-auc", type=float, metavar="P", help="Status 1 if it is lower."),
    shared.max_pixels_option("Refuse larger."),
    shared.workers_option("Threads that read."),
]


@click.command("train-face", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + TRAINING_OPTIONS, function)
@shared.verbosity_options
def command(quiet: bool, assert_auc: float | None, **options: Any) -> None:
    """Learn which faces are alike, and leave an embedder of your own.

    DATA is a folder with one folder for each person, or a CSV with the columns file and label.
    The bundle works in verify-face, gallery and evaluate. The exit status is 1 if the AUC misses
    its --assert-auc.
    """
    from cnnkit.cli.reading_progress import reading_progress
    from cnnkit.commands.train_face import train_face

    training.check_floors({"--assert-auc": assert_auc})
    started = time.monotonic()
    model = train_face(**options, progress=partial(reading_progress, quiet=quiet))
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    where = f" on {training.SPLIT_NAMES[model.judged_on]}"
    missed = training.missed([("--assert-auc", assert_auc, model.metrics["auc"])], where)
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run, for people."""
    from cnnkit.writers.terminal import printable

    found, card = model.metrics, model.card
    record = card["training"]
    by_people = record["arguments"]["split_by"] == "people"
    whose = "new people" if by_people else "people it has seen"
    yield (
        f"{training.SPLIT_NAMES[model.judged_on]}, {found['people']} people, "
        f"{found['same_pairs']:,} pairs of one person and {found['different_pairs']:,} of two "
        f"({whose}):"
    )
    yield (
        f"  AUC {found['auc']:.4f}   balanced accuracy {found['accuracy']:.4f} at the distance "
        f"{card['verification']['threshold']:.4g}   equal error rate "
        f"{found['equal_error_rate']:.4f}"
    )
    if record["kept"]:
        yield f"  {record['kept']}"
    name = printable(str(model.path))
    yield f"{name}: made in {seconds:.1f} s. Look at {name}/report.html, then:"
    yield f"  cnnkit verify-face --embedder {shlex.quote(name)} A B"
