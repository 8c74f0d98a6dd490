"""What ``cnnkit train-face`` does once its options are read: the heavy part."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.reading_progress import reading_progress
from cnnkit.cli.transfer_learn_run import SPLIT_NAMES
from cnnkit.data import Shares
from cnnkit.data.decoded import MaxBad
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.training import EmbedderSettings, TrainedEmbedder, learn_faces
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")


def run(data: str, *, quiet: bool, **chosen: Any) -> bool:
    """Train, show, and return whether the AUC misses what it was to reach."""
    least = chosen.pop("assert_auc")
    if least is not None and not 0 <= least <= 1:
        raise UsageError(broken_rule("--assert-auc", "lie between 0 and 1", least))
    started = time.monotonic()
    settings = settings_of(data, chosen)
    outcome = learn_faces(settings, lambda *a: reading_progress(*a, quiet=quiet))
    for line in summary_lines(outcome, time.monotonic() - started):
        click.echo(line)
    reached = outcome.figures[outcome.judged_on]["auc"]
    if least is None or reached >= least:
        return False
    where = SPLIT_NAMES[outcome.judged_on]
    log.error("--assert-auc %g is missed: %.4f on %s. The bundle is kept.", least, reached, where)
    return True


def settings_of(data: str, chosen: dict[str, Any]) -> EmbedderSettings:
    """Return the options as the settings of a run.

    Raises:
        UsageError: A value breaks its rule.
    """
    names = ("root", "crop", "split_by", "seed", "overwrite", "resume", "network", "margin")
    names += ("people", "photos", "dimensions", "size", "epochs", "patience", "learning_rate")
    return EmbedderSettings(
        data,
        Path(chosen["output"]),
        **{name: chosen[name] for name in (*names, "augment", "workers")},
        loss=chosen["loss"] or ("head" if chosen["network"] == "dlib-face" else "semi-hard"),
        shares=Shares(chosen["validation"], chosen["test"]),
        max_bad=MaxBad.parse(chosen["max_bad"]),
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
    )


def summary_lines(outcome: TrainedEmbedder, seconds: float) -> Iterator[str]:
    """Yield what the run came to, for people."""
    found = outcome.figures[outcome.judged_on]
    whose = "new people" if outcome.settings.split_by == "people" else "people it has seen"
    yield (
        f"{SPLIT_NAMES[outcome.judged_on]}, {found['people']} people, {found['same_pairs']:,} "
        f"pairs of one person and {found['different_pairs']:,} of two ({whose}):"
    )
    yield (
        f"  AUC {found['auc']:.4f}   balanced accuracy {found['accuracy']:.4f} at the distance "
        f"{outcome.threshold:.4g}   equal error rate {found['equal_error_rate']:.4f}"
    )
    if outcome.kept:
        yield f"  {outcome.kept}"
    name = printable(str(outcome.settings.output))
    yield f"{name}: made in {seconds:.1f} s. Look at {name}/report.html, then:"
    yield f"  cnnkit verify-face --embedder {shlex.quote(name)} A B"
