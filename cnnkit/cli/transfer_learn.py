"""``cnnkit transfer-learn``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared
from cnnkit.cli import training_options as training
from cnnkit.errors import UsageError, broken_rule

if TYPE_CHECKING:
    from cnnkit.commands.training import TrainedModel

EXAMPLES = """\b
Examples:
  cnnkit transfer-learn photos/ -o flowers
  cnnkit classify --model flowers new/
  cnnkit transfer-learn photos/ -o flowers --test 0.2 --assert-accuracy 0.9
  cnnkit transfer-learn labels.csv --root images/ -o flowers --fit pad
  cnnkit transfer-learn photos/ -o flowers --fine-tune 10 --stages 3
  cnnkit transfer-learn photos/ -o again --split-file flowers/split.csv
"""


def precision_of(text: str | float) -> float | None:
    """Return the precision that a user typed, or None for ``none``.

    Raises:
        UsageError: It is neither.
    """
    if str(text).lower() == "none":
        return None
    try:
        return float(text)
    except ValueError as error:
        rule = "be a number over 0 and under 1, or none"
        raise UsageError(broken_rule("--unknown-precision", rule, repr(text))) from error


DATA_OPTIONS = [
    training.bundle_options,
    shared.csv_root_option,
    click.option("--split-file", metavar="FILE", help="The split.csv of an earlier bundle."),
    training.split_options("Of each class, where DATA has no split of its own."),
    click.option(
        "--copies",
        type=click.Choice(["together", "apart"]),
        help="Near copies in one split, or each by itself.  [default: together, but for classes "
        "that are mostly alike]",
    ),
    training.max_bad_option("Unreadable images to leave out before giving up."),
    training.seed_option("Of split and views."),
]

MODEL_OPTIONS = [
    click.option(
        "--backbone",
        default="efficientnet-lite0",
        show_default=True,
        metavar="MODEL",
        help="efficientnet-lite0, squeezenet-1.1, keras:NAME, or a bundle to go on from.",
    ),
    click.option("--weights", metavar="FILE", help="Weights for --backbone keras:NAME."),
    click.option(
        "--views",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Augmented views of each training image to learn from as well.",
    ),
    click.option(
        "--augment",
        default="light",
        show_default=True,
        metavar="none|light|strong|boxes|FILE",
        help="The recipe of --views, --fine-tune and --from-scratch.",
    ),
    click.option(
        "--class-weights",
        type=click.Choice(["auto", "none"]),
        default="auto",
        show_default=True,
        help="auto: above 3 to 1 rare classes count more, at most 10 times.",
    ),
    click.option(
        "--unknown-precision",
        type=precision_of,
        default=0.95,
        show_default=True,
        metavar="P|none",
        help="The share of right answers that the threshold for 'unknown' is to reach.",
    ),
    click.option("--assert-accuracy", type=float, metavar="P", help="Status 1 if it is lower."),
    click.option("--assert-macro-f1", type=float, metavar="P", help="Status 1 if it is lower."),
]


TRAINING_OPTIONS = [
    click.option(
        "--fine-tune", type=int, default=0, metavar="EPOCHS", help="Then train the whole network."
    ),
    click.option(
        "--from-scratch", metavar="ARCHITECTURE", help="Train this one without a backbone."
    ),
    click.option(
        "--epochs", type=int, default=30, show_default=True, help="Of --from-scratch, at most."
    ),
    click.option("--size", type=int, metavar="N", help="Side of --from-scratch's square input."),
    click.option(
        "--mix",
        default="none",
        show_default=True,
        metavar="none|mixup|cutmix",
        help="Mix images and their labels; pays over 80 epochs or 20,000 images.",
    ),
    click.option(
        "--stages", type=int, metavar="N", help="Unfreeze the last N blocks.  [default: all]"
    ),
    training.learning_rate_option,
    click.option("--lr-find", is_flag=True, help="Search for the learning rate first."),
    click.option("--train-bn", is_flag=True, help="Batch normalizations learn in --fine-tune."),
    training.resume_option,
    click.option("--deterministic", is_flag=True, help="The same result twice on a GPU; no XLA."),
    click.option("--tensorboard", metavar="DIR", help="Write logs for TensorBoard."),
]


@click.command("transfer-learn", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + MODEL_OPTIONS + TRAINING_OPTIONS, function)
@shared.image_options
@shared.runtime_options
@shared.verbosity_options
def command(
    quiet: bool, assert_accuracy: float | None, assert_macro_f1: float | None, **options: Any
) -> None:
    """Learn classes from labeled images and leave a model of your own.

    DATA is a folder with one folder for each class, a folder with train/ and val/ (and test/)
    of such folders, or a CSV with the columns file and label. No file of it is changed.
    The exit status is 1 if a figure misses its --assert.
    """
    from cnnkit.cli.reading_progress import reading_progress
    from cnnkit.commands.transfer_learn import transfer_learn

    floors = {"--assert-accuracy": assert_accuracy, "--assert-macro-f1": assert_macro_f1}
    training.check_floors(floors)
    started = time.monotonic()
    model = transfer_learn(**options, progress=partial(reading_progress, quiet=quiet))
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    reached = (model.metrics["top_1"], model.metrics["macro_f1"])
    checks = zip(floors, floors.values(), reached, strict=True)
    missed = training.missed(checks, f" on {training.SPLIT_NAMES[model.judged_on]}")
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run, for people."""
    from cnnkit.writers.terminal import printable

    card, found = model.card, model.metrics
    record = card["training"]
    yield (
        f"{training.SPLIT_NAMES[model.judged_on]}, "
        f"{record['data']['pictures'][model.judged_on]:,} images:"
    )
    yield (
        f"  accuracy {found['top_1']:.4f}   macro F1 {found['macro_f1']:.4f}   "
        f"balanced accuracy {found['balanced_accuracy']:.4f}"
    )
    yield (
        f"  temperature {card['calibration']['temperature']:.3f}: calibration error on validation "
        f"{record['calibration']['error_before']:.4f} before, "
        f"{record['calibration']['error_after']:.4f} after"
    )
    yield f"  {threshold_line(record['calibration'])}"
    name = printable(str(model.path))
    yield f"{name}: made in {seconds:.1f} s. Look at {name}/report.html, then:"
    yield f"  cnnkit classify --model {printable(training.quoted(model.path))} IMAGES"


def threshold_line(calibration: dict[str, Any]) -> str:
    """Return one line about the threshold for `unknown`."""
    asked, threshold = calibration["unknown_precision"], calibration["threshold"]
    if asked is None:
        return "no threshold for 'unknown' (--unknown-precision none)"
    if threshold is None:
        return (
            f"no threshold for 'unknown': none reaches a precision of {asked:g} on enough "
            "validation images"
        )
    return (
        f"'unknown' below {threshold['value']:.4f}: above it {threshold['precision']:.1%} are "
        f"right, {threshold['coverage']:.1%} of validation get an answer"
    )
