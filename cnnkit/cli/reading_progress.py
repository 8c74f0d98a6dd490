"""Progress of the training stages that read images."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

log = logging.getLogger("cnnkit")


@contextmanager
def reading_progress(name: str, count: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a stage: a bar in a terminal, one line at its end elsewhere."""
    watched = sys.stderr.isatty() and not quiet
    started, done = time.monotonic(), 0
    with click.progressbar(
        length=count, label=f"{name:<10}", file=sys.stderr, hidden=not watched, show_pos=True
    ) as bar:

        def advance() -> None:
            nonlocal done
            done += 1
            bar.label = f"{name:<10} {done / max(1e-6, time.monotonic() - started):,.0f}/s"
            bar.update(1)

        yield advance
    seconds = time.monotonic() - started
    rate = done / max(1e-6, seconds)
    log.info("%s: %s images in %.1f s (%.0f/s)", name, f"{done:,}", seconds, rate)
