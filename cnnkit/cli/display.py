"""Displays of a run: rows on standard output, progress and totals on standard error."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import click

from cnnkit.folder_job import Summary
from cnnkit.writers.row_files import csv_line, csv_lines, json_line
from cnnkit.writers.row_tables import RowTable
from cnnkit.writers.terminal import fitted

log = logging.getLogger("cnnkit")

SCORE_WIDTH = 6
MORE_PREDICTIONS = 3
# Between two lines of progress in a log file, and between two states of a line in a terminal.
SECONDS_A_LINE, SECONDS_A_REDRAW = 15.0, 0.2


class Display:
    """Shows rows and progress; a context manager around the run."""

    def __init__(
        self,
        form: str | None,
        to_file: bool,
        quiet: bool,
        table: RowTable,
        task: str = "classify",
        then: tuple[str, Callable[[dict[str, Any]], str]] | None = None,
        layout: Callable[[int], Layout] | None = None,
    ) -> None:
        """Choose the form.

        Args:
            form: ``table``, ``jsonl``, ``csv``, or None: a table in a terminal, else JSON Lines.
            to_file: Whether the rows go to a file; then standard output stays empty.
            quiet: No progress, no totals.
            table: The columns of CSV.
            task: Label of the progress bar.
            then: Heading and text of the table's last column; by default further predictions.
            layout: Makes other columns, for the terminal's width.
        """
        terminal = sys.stdout.isatty()
        self._form = form or ("table" if terminal else "jsonl")
        self._silent = to_file and form is None
        self._quiet = quiet
        self._columns = table
        self._task = task
        heading, text = then or ("ALSO", further_predictions)
        self._layout_for = layout or (lambda width: TableLayout(width, heading, text))
        self._has_header = False
        rows_are_progress = terminal and not self._silent
        self._bar = sys.stderr.isatty() and not quiet and not rows_are_progress
        self._stack = ExitStack()
        self._advance: Callable[[int, int], None] | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def progress(self) -> Callable[[int, int], None] | None:
        """Moves the progress bar, given how many are done and how many there are; None: no bar."""
        return self._move_bar if self._bar else None

    def _move_bar(self, done: int, total: int) -> None:
        if self._advance is None:
            self._advance = self._started_bar(done)
        self._advance(done, total)

    def _started_bar(self, before: int) -> Callable[[int, int], None]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        task = progress.add_task(self._task, total=None, rate="")
        started = time.monotonic()

        def advance(done: int, total: int) -> None:
            rate = (done - before) / max(1e-6, time.monotonic() - started)
            progress.update(task, completed=done, total=total or None, rate=f"{rate:.0f}/s")

        self._stack.enter_context(progress)
        return advance

    def _show_header(self) -> None:
        """Show the column names, once the first row is there: the command could run."""
        if self._has_header or self._silent:
            return
        self._has_header = True
        if self._form == "csv":
            click.echo(csv_line(self._columns.header()), nl=False)
        if self._form == "table":
            self._layout = self._layout_for(shutil.get_terminal_size((100, 24)).columns)
            click.echo(click.style(self._layout.header(), bold=True))

    def show(self, row: dict[str, Any]) -> None:
        """Show one row."""
        if self._silent:
            return
        self._show_header()
        if self._form == "jsonl":
            line = json_line(row)
        elif self._form == "csv":
            line = csv_lines(row, self._columns)
        else:
            line = self._layout.line(row) + "\n"
        click.echo(line, nl=False)

    def conclude(self, summary: Summary) -> None:
        """Show the totals, and the header where there was no row."""
        self._show_header()
        if self._quiet:
            return
        seconds, skipped = summary.seconds, summary.skipped
        new = summary.ok + summary.failed - summary.resumed
        parts = [f"{summary.ok:,} ok", f"{summary.failed:,} failed", f"{skipped:,} skipped"]
        if summary.resumed:
            parts.append(f"{summary.resumed:,} resumed")
        rate = f"{new / seconds:,.0f} images/s" if seconds > 0 else ""
        click.echo(f"{', '.join(parts)} in {seconds:.1f} s ({rate})", err=True)


def further_predictions(row: dict[str, Any]) -> str:
    """Return a classification's predictions after the first, as text."""
    others = row["predictions"][1 : 1 + MORE_PREDICTIONS]
    return ", ".join(f"{one['label']} {one['score']:.0%}" for one in others)


class Layout(Protocol):
    """The columns of a human-readable table."""

    def header(self) -> str:
        """Return the line with the columns' names."""
        ...

    def line(self, row: dict[str, Any]) -> str:
        """Return a row's line, colored where the terminal shows colors."""
        ...


def shown_path(row: dict[str, Any]) -> str:
    """Return the path of a row, with the number and time of its frame."""
    if "frame" not in row:
        return str(row["path"])
    time = f" ({row['time']:.2f} s)" if "time" in row else ""
    return f"{row['path']} #{row['frame']}{time}"


def failed_line(row: dict[str, Any], path_width: int, room: int) -> str:
    """Return the line of an input that failed."""
    path = fitted(shown_path(row), path_width, keep_end=True)
    error = row["error"]
    text = fitted(f"{error['kind']}: {error['message']}", room).rstrip()
    return f"{path}  {click.style(text, fg='red')}"


class TableLayout:
    """The columns of a classification, or of other rows with a label and a score."""

    def __init__(self, width: int, heading: str, text: Callable[[dict[str, Any]], str]) -> None:
        """Divide `width` columns of a terminal; the last one has its own heading and text."""
        self._heading, self._text = heading, text
        self._path = max(16, min(60, int(width * 0.36)))
        self._label = max(12, min(32, int(width * 0.24)))
        self._rest = max(0, width - self._path - self._label - SCORE_WIDTH - 6)

    def header(self) -> str:
        """Return the line with the columns' names."""
        return (
            f"{fitted('IMAGE', self._path)}  {fitted('LABEL', self._label)}  "
            f"{'SCORE':>{SCORE_WIDTH}}  {self._heading[: self._rest]}"
        ).rstrip()

    def line(self, row: dict[str, Any]) -> str:
        """Return a row's line, colored where the terminal shows colors."""
        if row["status"] == "error":
            return failed_line(row, self._path, self._label + SCORE_WIDTH + self._rest + 4)
        path = fitted(shown_path(row), self._path, keep_end=True)
        label = fitted(row["label"], self._label)
        rest = fitted(self._text(row), self._rest).rstrip() if self._rest > 8 else ""
        line = f"{path}  {click.style(label, bold=True)}  {row['score']:>{SCORE_WIDTH}.1%}"
        return f"{line}  {rest}".rstrip()


@contextmanager
def counting(task: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar in a terminal; yield a function of the numbers done and in all.

    Args:
        task: Label of the bar.
        quiet: Show nothing.

    Yields:
        None where nothing is shown, so that nobody counts the inputs for it.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bar: Any = None

        def show(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(
                    click.progressbar(length=total, label=task, file=sys.stderr)
                )
            bar.update(done - bar.pos)

        yield show


@contextmanager
def reading_progress(name: str, count: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a stage that reads images: a bar in a terminal, one line at its end elsewhere."""
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


class ProgressLine:
    """A message on standard error that is updated: in place in a terminal, rarely elsewhere."""

    def __init__(self, quiet: bool, *, at_once: bool = False) -> None:
        """Start the clock.

        Args:
            quiet: Show nothing.
            at_once: Whether the first message is due immediately.
        """
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._shown = -SECONDS_A_LINE if at_once else time.monotonic()
        self._is_open = False

    @property
    def is_due(self) -> bool:
        """Whether it is time for another message."""
        pause = SECONDS_A_REDRAW if self._live else SECONDS_A_LINE
        return not self._quiet and time.monotonic() - self._shown >= pause

    def show(self, text: str) -> None:
        """Show a message."""
        self._shown = time.monotonic()
        if self._live:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._is_open = True
        else:
            log.info("%s", text)

    def clear(self) -> None:
        """Remove the message from the terminal."""
        if self._is_open:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._is_open = False

    def end(self) -> None:
        """Leave the message in the terminal and end its line."""
        if self._is_open:
            click.echo(err=True)
            self._is_open = False


class DetectionLayout:
    """The columns of detections: the image, its highest score, its objects."""

    def __init__(self, width: int) -> None:
        """Divide `width` columns of a terminal."""
        self._path = max(16, min(60, int(width * 0.4)))
        self._rest = max(16, width - self._path - SCORE_WIDTH - 5)

    def header(self) -> str:
        """See `Layout`."""
        return f"{fitted('IMAGE', self._path)}  {'SCORE':>{SCORE_WIDTH}}  OBJECTS"

    def line(self, row: dict[str, Any]) -> str:
        """See `Layout`."""
        if row["status"] == "error":
            return failed_line(row, self._path, self._rest + SCORE_WIDTH + 2)
        path = fitted(shown_path(row), self._path, keep_end=True)
        found = row["detections"]
        if not found:
            return f"{path}  {'':>{SCORE_WIDTH}}  {click.style('no objects', dim=True)}"
        counts = Counter(one["label"] for one in found)
        words = ", ".join(f"{n} {label}" for label, n in counts.items())
        objects = click.style(fitted(words, self._rest).rstrip(), bold=True)
        return f"{path}  {found[0]['score']:>{SCORE_WIDTH}.1%}  {objects}"


class MatchesLayout:
    """The columns of a search: the query, its best match's score, its matches."""

    def __init__(self, width: int) -> None:
        """Divide `width` columns of a terminal."""
        self._path = max(16, min(40, int(width * 0.3)))
        self._rest = max(16, width - self._path - SCORE_WIDTH - 5)

    def header(self) -> str:
        """See `Layout`."""
        return f"{fitted('QUERY', self._path)}  {'SCORE':>{SCORE_WIDTH}}  MATCH"

    def line(self, row: dict[str, Any]) -> str:
        """Return the lines of a query's matches, the best one first."""
        from cnnkit.results import path_text, place_of

        if row["status"] == "error":
            return failed_line(row, self._path, self._rest + SCORE_WIDTH + 2)
        path = fitted(row["path"], self._path, keep_end=True)
        if not row["matches"]:
            return f"{path}  {'':>{SCORE_WIDTH}}  {click.style('no matches', dim=True)}"
        lines = []
        for match in row["matches"]:
            found = fitted(path_text(place_of(match)), self._rest, keep_end=True).rstrip()
            lines.append(f"{path}  {match['score']:>{SCORE_WIDTH}.3f}  {found}")
            path = " " * self._path
        return "\n".join(lines)
