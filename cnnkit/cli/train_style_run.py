"""What ``cnnkit train-style`` does once its options are read: the heavy part."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.durations import duration, seconds_of
from cnnkit.data.decoded import MaxBad
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.style.training.learning import PainterSettings, PainterStep, TrainedPainter, learn_style
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

# In a file of messages a line now and then is enough.
SECONDS_A_LINE = 15.0
SECONDS_A_REDRAW = 0.2


def run(photos: list[str], *, quiet: bool, **chosen: Any) -> None:
    """Train, and say what it came to."""
    settings = PainterSettings(
        photos,
        chosen.pop("styles"),
        Path(chosen.pop("output")),
        time_budget=seconds_of(chosen.pop("time_budget")),
        max_bad=MaxBad.parse(chosen.pop("max_bad")),
        max_pixels=chosen.pop("max_pixels") or DEFAULT_MAX_PIXELS,
        **chosen,
    )
    display = Display(quiet)
    try:
        trained = learn_style(settings, display.show)
    finally:
        display.close_line()
    for line in summary_lines(trained):
        click.echo(line)


class Display:
    """Shows progress on standard error: one line that changes, or a line now and then."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._shown = 0.0
        self._line_is_open = False

    def show(self, progress: PainterStep) -> None:
        """Show a step, if it is time to."""
        now = time.monotonic()
        if self._quiet or now - self._shown < (SECONDS_A_REDRAW if self._live else SECONDS_A_LINE):
            return
        self._shown = now
        content, style, _ = progress.terms
        text = (
            f"step {progress.step:,} of {progress.steps:,}: style {style:.3f}, "
            f"content {content:.3f}, {duration(progress.seconds_left)} left"
        )
        if self._live:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._line_is_open = True
        else:
            log.info("%s", text)

    def close_line(self) -> None:
        """End a line that is still open."""
        if self._line_is_open:
            click.echo(err=True)
            self._line_is_open = False


def summary_lines(trained: TrainedPainter) -> list[str]:
    """Return what the run came to, for people."""
    content, style = (
        f"{name} loss {before:.3f} -> {after:.3f}"
        for name, before, after in zip(
            ("content", "style"), trained.before, trained.after, strict=True
        )
    )
    folder = printable(str(trained.bundle))
    return [
        f"{trained.steps:,} steps in {duration(trained.seconds)}; on held-out photos: "
        f"{style}, {content}.",
        f"{folder} is ready: cnnkit stylize PHOTOS --fast --model {folder} -o painted/",
    ]
