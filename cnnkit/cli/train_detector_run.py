"""What ``cnnkit train-detector`` does once its options are read: the heavy part."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.reading_progress import reading_progress
from cnnkit.data.decoded import MaxBad
from cnnkit.detection.training.learning import TrainedDetector, learn_boxes
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.writers.terminal import fitted, printable

log = logging.getLogger("cnnkit")


def run(data: str, *, quiet: bool, **chosen: Any) -> bool:
    """Train, write, show, and return whether the AP50 misses what it was to reach."""
    least = chosen.pop("assert_ap50")
    if least is not None and not 0 <= least <= 1:
        raise UsageError(broken_rule("--assert-ap50", "lie between 0 and 1", least))
    chosen["output"] = Path(chosen["output"])
    chosen["max_bad"] = MaxBad.parse(chosen["max_bad"])
    chosen["max_pixels"] = chosen["max_pixels"] or DEFAULT_MAX_PIXELS
    started = time.monotonic()
    learnt = learn_boxes(DetectorSettings(data, **chosen), partial(reading_progress, quiet=quiet))
    for line in summary_lines(learnt, time.monotonic() - started):
        click.echo(line)
    reached = learnt.figures.average_precision(0.5)
    if least is not None and not reached >= least:
        log.error("--assert-ap50 %g is missed: %.4f. The bundle is kept.", least, reached)
        return True
    return False


def summary_lines(learnt: TrainedDetector, seconds: float) -> Iterator[str]:
    """Yield what the run came to, for people."""
    figures = learnt.figures
    yield (
        f"validation, {len(learnt.validation):,} pictures: "
        f"AP50 {figures.average_precision(0.5):.4f}   AP {figures.average_precision():.4f}"
    )
    if len(learnt.classes) > 1:
        for number, label in enumerate(learnt.classes[:20]):
            yield f"  {fitted(label, 28)} AP50 {figures.average_precision(0.5, label=number):.4f}"
    name = printable(str(learnt.settings.output))
    yield f"{name}: made in {seconds:.0f} s. Look at {name}/report.html, then:"
    yield f"  cnnkit detect --model {printable(shlex.quote(str(learnt.settings.output)))} PICTURES"
