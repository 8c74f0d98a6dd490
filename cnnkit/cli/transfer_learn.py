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
  cnnkit transfer-learn photos/ -o flowers --engine ray:auto
"""


def precision_of(text: str | float) -> float | None:
    """Return the precision that a user typed, or None for ``none``.

    Raises:
        UsageError: It is neither a number nor none.
    """
    if str(text).lower() == "none":
        return None
    try:
        return float(text)
    except ValueError as error:
        rule = "be a number between 0 and 1, or none"
        raise UsageError(broken_rule("--unknown-precision", rule, repr(text))) from error


DATA_OPTIONS: list[shared.Command] = [
    training.bundle_options,
    shared.csv_root_option,
    click.option("--split-file", metavar="FILE", help="Use the split.csv of an earlier bundle."),
    training.split_options("each class", ", if DATA has no split"),
    click.option(
        "--copies",
        type=click.Choice(["together", "apart"]),
        help="Keep near duplicates in one split, or not.  [default: together, except for classes "
        "of mostly similar images]",
    ),
    training.max_bad_option("Maximum number or share of unreadable images."),
    training.seed_option(),
]

MODEL_OPTIONS: list[shared.Command] = [
    click.option(
        "--backbone",
        default="auto",
        show_default=True,
        metavar="MODEL",
        help="An embedded classifier, keras:NAME, or a bundle to continue from. auto tries the "
        "embedded ones and keeps the best on validation.",
    ),
    click.option("--weights", metavar="FILE", help="Weights file for --backbone keras:NAME."),
    click.option(
        "--views",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Augmented views per training image, in addition to the image itself.",
    ),
    click.option(
        "--augment",
        default="light",
        show_default=True,
        metavar="none|light|strong|boxes|FILE",
        help="Augmentation recipe for --views, --fine-tune, and --from-scratch.",
    ),
    click.option(
        "--class-weights",
        type=click.Choice(["auto", "none"]),
        default="auto",
        show_default=True,
        help="auto gives rare classes more weight if imbalance exceeds 3 to 1, at most 10 times.",
    ),
    click.option(
        "--unknown-precision",
        type=precision_of,
        default=0.95,
        show_default=True,
        metavar="P|none",
        help="Target precision of the threshold for 'unknown'.",
    ),
    click.option(
        "--assert-accuracy",
        type=float,
        metavar="P",
        help="Exit with status 1 if the accuracy is lower.",
    ),
    click.option(
        "--assert-macro-f1",
        type=float,
        metavar="P",
        help="Exit with status 1 if the macro F1 is lower.",
    ),
]


TRAINING_OPTIONS: list[shared.Command] = [
    click.option(
        "--fine-tune",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="Maximum epochs of fine-tuning the whole network, after the head.",
    ),
    click.option(
        "--from-scratch",
        metavar="ARCHITECTURE",
        help="Train this architecture without pretrained weights.",
    ),
    click.option(
        "--epochs",
        type=int,
        default=30,
        show_default=True,
        metavar="N",
        help="Maximum epochs of --from-scratch.",
    ),
    click.option("--size", type=int, metavar="N", help="Input size of --from-scratch."),
    click.option(
        "--mix",
        default="none",
        show_default=True,
        metavar="none|mixup|cutmix",
        help="Mix images and their labels; worthwhile above 80 epochs or 20,000 images.",
    ),
    click.option(
        "--stages", type=int, metavar="N", help="Unfreeze the last N blocks.  [default: all]"
    ),
    training.learning_rate_option,
    click.option("--lr-find", is_flag=True, help="Find the learning rate first."),
    click.option(
        "--train-bn", is_flag=True, help="Train batch normalization layers in --fine-tune."
    ),
    training.resume_option,
    click.option(
        "--deterministic", is_flag=True, help="Make results reproducible on a GPU; disables XLA."
    ),
    click.option("--tensorboard", metavar="DIR", help="Write logs for TensorBoard."),
    training.processes_options,
]


@click.command("transfer-learn", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@lambda function: shared.apply(DATA_OPTIONS + MODEL_OPTIONS + TRAINING_OPTIONS, function)
@shared.image_options
@shared.runtime_options
@partial(shared.engine_options, does="Compute the features with")
@shared.verbosity_options
def command(
    quiet: bool, assert_accuracy: float | None, assert_macro_f1: float | None, **options: Any
) -> None:
    """Train a classifier on labeled images.

    DATA is a folder with one subfolder per class; or a folder with train/ and val/ (and test/) of
    that form; or a CSV with the columns file and label. No file of DATA is changed. Exit status:
    1 if a metric is below its --assert option.
    """
    reports = training.reports(options)
    quiet = quiet or not reports
    from cnnkit.cli.display import reading_progress
    from cnnkit.commands.transfer_learn import transfer_learn

    floors = {"--assert-accuracy": assert_accuracy, "--assert-macro-f1": assert_macro_f1}
    training.check_floors(floors)
    started = time.monotonic()
    model = transfer_learn(**options, progress=partial(reading_progress, quiet=quiet))
    if not reports:
        return
    for line in summary_lines(model, time.monotonic() - started):
        click.echo(line)
    reached = (model.metrics["top_1"], model.metrics["macro_f1"])
    checks = zip(floors, floors.values(), reached, strict=True)
    missed = training.missed(checks, f" on {training.SPLIT_NAMES[model.judged_on]}")
    click.get_current_context().exit(1 if missed else 0)


def summary_lines(model: TrainedModel, seconds: float) -> Iterator[str]:
    """Yield the result of a run as lines of text."""
    from cnnkit.reports.training import backbone_choice
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
    if choice := backbone_choice(record["backbone"]):
        yield f"  backbone {record['backbone']['name']}: {choice}"
    name = printable(str(model.path))
    yield f"{name}: trained in {seconds:.1f} s. See {name}/report.html. Next:"
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
        f"'unknown' below {threshold['value']:.4f}; above, precision {threshold['precision']:.1%} "
        f"on {threshold['coverage']:.1%} of the validation images"
    )
