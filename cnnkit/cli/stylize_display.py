"""The display of ``cnnkit stylize``: rows on standard output, progress on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import click

from cnnkit.folder_job import Summary
from cnnkit.writers.row_files import json_line
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

# Progress lines in a log file are rare.
SECONDS_A_LINE = 15.0
SECONDS_A_REDRAW = 0.2


class Display:
    """Shows progress and rows; a context manager around the run."""

    def __init__(self, quiet: bool) -> None:
        """Choose the form: text in a terminal, JSON Lines elsewhere.

        Args:
            quiet: No progress, no totals.
        """
        self._total = 0
        self._quiet = quiet
        self._rows_for_people = sys.stdout.isatty()
        self._live = sys.stderr.isatty() and not quiet
        self._shown = time.monotonic()
        self._line_is_open = False
        self._paces: list[float] = []

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close_line()

    def count(self, done: int, total: int) -> None:
        """Note how many photos there are."""
        self._total = total

    def progress(self, position: int, progress: Any) -> None:
        """Show the progress of an image.

        Args:
            position: Position of the image, from 1.
            progress: A `cnnkit.style.optimization.Progress`.
        """
        now = time.monotonic()
        if self._quiet or now - self._shown < (SECONDS_A_REDRAW if self._live else SECONDS_A_LINE):
            return
        self._shown = now
        height, width = progress.size
        text = (
            f"image {position} of {self._total}: step {progress.step} of {progress.steps} "
            f"at {width} x {height}, loss {progress.loss:.4g}, {progress.remaining:.0f} s left"
        )
        if position < self._total and self._paces:
            rest = (self._total - position) * sum(self._paces) / len(self._paces)
            text += f", {(progress.remaining + rest) / 60:.0f} min left in total"
        if self._live:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._line_is_open = True
        else:
            log.info("%s", text)

    def show(self, row: dict[str, Any]) -> None:
        """Show one row."""
        self._close_line()
        if "seconds" in row:
            self._paces.append(row["seconds"])
        if not self._rows_for_people:
            click.echo(json_line(row), nl=False)
        elif row["status"] == "error":
            error = row["error"]
            text = printable(f"{row['path']}: {error['kind']}: {error['message']}")
            click.echo(click.style(text, fg="red"))
        else:
            seconds = f" ({row['seconds']:.0f} s)" if "seconds" in row else ""
            click.echo(printable(f"{row['path']} -> {row['output']}{seconds}"))

    def conclude(self, summary: Summary) -> None:
        """Show the totals."""
        if self._quiet:
            return
        parts = [f"{summary.ok:,} ok", f"{summary.failed:,} failed"]
        if summary.resumed:
            parts.append(f"{summary.resumed:,} resumed")
        click.echo(f"{', '.join(parts)} in {summary.seconds:.1f} s", err=True)

    def _close_line(self) -> None:
        if self._line_is_open:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._line_is_open = False
