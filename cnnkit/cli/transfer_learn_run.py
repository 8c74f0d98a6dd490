"""What ``cnnkit transfer-learn`` does once its options are read: the heavy part."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cnnkit.classification.training import ClassifierSettings, TrainedClassifier, train_classifier
from cnnkit.cli.reading_progress import reading_progress
from cnnkit.data.decoded import MaxBad
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def run(data: str, *, quiet: bool, **chosen: Any) -> bool:
    """Train, show, and return whether a figure misses what it was to reach."""
    asserted = {
        "top_1": ("--assert-accuracy", chosen.pop("assert_accuracy")),
        "macro_f1": ("--assert-macro-f1", chosen.pop("assert_macro_f1")),
    }
    for option, least in asserted.values():
        if least is not None and not 0 <= least <= 1:
            raise UsageError(broken_rule(option, "lie between 0 and 1", least))
    started = time.monotonic()
    outcome = train_classifier(
        settings_of(data, chosen), lambda *a: reading_progress(*a, quiet=quiet)
    )
    for line in summary_lines(outcome, time.monotonic() - started):
        click.echo(line)
    reached = outcome.evaluations[outcome.judged_on]["metrics"]
    missed = [
        (option, least, reached[name])
        for name, (option, least) in asserted.items()
        if least is not None and reached[name] < least
    ]
    for option, least, value in missed:
        where = SPLIT_NAMES[outcome.judged_on]
        log.error("%s %g is missed: %.4f on %s. The bundle is kept.", option, least, value, where)
    return bool(missed)


def settings_of(data: str, chosen: dict[str, Any]) -> ClassifierSettings:
    """Return the options as the settings of a run.

    Raises:
        UsageError: A value breaks its rule.
    """
    names = ("device", "runtime", "precision", "threads")
    runtime = RuntimeOptions(*(chosen.pop(name) for name in names))
    plain = {
        name: chosen[name]
        for name in (
            *("root", "backbone", "weights", "fit", "split_file", "validation", "test", "copies"),
            *("views", "augment", "seed", "overwrite", "batch_size"),
            *("fine_tune", "from_scratch", "epochs", "size", "stages", "learning_rate"),
            *("mix", "lr_find", "train_bn", "resume", "deterministic", "tensorboard"),
        )
    }
    return ClassifierSettings(
        data,
        Path(chosen["output"]),
        **plain,
        class_weights=chosen["class_weights"] == "auto",
        unknown_precision=precision_of(chosen["unknown_precision"]),
        max_bad=MaxBad.parse(chosen["max_bad"]),
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
        workers=chosen["workers"] or runtime.threads or None,
        runtime=runtime,
    )


def precision_of(text: str) -> float | None:
    """Return the precision that a user typed, or None for ``none``.

    Raises:
        UsageError: It is neither.
    """
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError as error:
        rule = "be a number over 0 and under 1, or none"
        raise UsageError(broken_rule("--unknown-precision", rule, repr(text))) from error


def summary_lines(outcome: TrainedClassifier, seconds: float) -> Iterator[str]:
    """Yield what the run came to, for people."""
    found = outcome.evaluations[outcome.judged_on]["metrics"]
    calibration = outcome.calibration
    settings = outcome.settings
    count = len(outcome.training_set.members(outcome.judged_on))
    yield f"{SPLIT_NAMES[outcome.judged_on]}, {count:,} pictures:"
    yield (
        f"  accuracy {found['top_1']:.4f}   macro F1 {found['macro_f1']:.4f}   "
        f"balanced accuracy {found['balanced_accuracy']:.4f}"
    )
    yield (
        f"  temperature {calibration.temperature:.3f}: calibration error on validation "
        f"{calibration.error_before:.4f} before, {calibration.error_after:.4f} after"
    )
    yield f"  {threshold_line(outcome)}"
    name = printable(str(settings.output))
    yield f"{name}: made in {seconds:.1f} s. Look at {name}/report.html, then:"
    model = printable(shlex.quote(model_argument(settings.output)))
    yield f"  cnnkit classify --model {model} PICTURES"


def model_argument(folder: Path) -> str:
    """Return how the bundle is named on a command line: an embedded name would win over it."""
    from cnnkit.bundles import embedded_names

    return f"./{folder}" if str(folder) in embedded_names() else str(folder)


def threshold_line(outcome: TrainedClassifier) -> str:
    """Return one line about the threshold for `unknown`."""
    asked, threshold = outcome.calibration.asked_precision, outcome.calibration.threshold
    if asked is None:
        return "no threshold for 'unknown' (--unknown-precision none)"
    if threshold is None:
        return (
            f"no threshold for 'unknown': none reaches a precision of {asked:g} on enough "
            "validation pictures"
        )
    return (
        f"'unknown' below {threshold.value:.4f}: above it {threshold.precision:.1%} are right, "
        f"{threshold.coverage:.1%} of validation get an answer"
    )
