"""What ``cnnkit doctor`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from cnnkit.data import read_dataset
from cnnkit.data.doctor import Examination, examine
from cnnkit.data.findings import Finding, Place
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import DEFAULT_MAX_PIXELS, thumbnail
from cnnkit.writers.terminal import display_width, fitted, printable

COLORS = {"error": "red", "warning": "yellow", "note": "blue"}
MARGIN = 9
FILES_SHOWN = 4
CLASSES_SHOWN = 6


def run(
    data: str,
    *,
    root: str | None,
    as_json: bool,
    report: str | None,
    overwrite: bool,
    max_pixels: int | None,
    workers: int | None,
    quiet: bool,
) -> bool:
    """Examine, show, and return whether something would hurt training."""
    page = _report_path(report, overwrite)
    dataset = read_dataset(data, root)
    started = time.monotonic()
    hidden = quiet or not sys.stderr.isatty()
    count = len(dataset.files)
    with click.progressbar(length=count, label="doctor", file=sys.stderr, hidden=hidden) as bar:
        found = examine(
            dataset,
            max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
            workers=workers,
            progress=lambda: bar.update(1),
        )
    seconds = time.monotonic() - started
    if page is not None:
        from cnnkit.reports.doctor import write_examination

        title = f"Doctor: {Path(data).name or data}"
        write_examination(page, found.to_dict(), title=title, thumbnail=_thumbnail_or_none)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        for line in lines(found, shutil.get_terminal_size((100, 24)).columns):
            click.echo(line)
    if not quiet:
        click.echo(f"{count:,} pictures read in {seconds:.1f} s; no file was changed", err=True)
    return found.hurts


def _report_path(report: str | None, overwrite: bool) -> Path | None:
    """Return the report's path, checked before the work begins."""
    if report is None:
        return None
    path = Path(report)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(broken_rule("--report", "end in .html", report))
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use --overwrite to make it anew.")
    return path


def _thumbnail_or_none(path: str) -> bytes | None:
    try:
        return thumbnail(path)
    except ImageError:
        return None


def lines(found: Examination, width: int) -> Iterator[str]:
    """Yield the examination as a table for people, `width` columns wide."""
    dataset = found.dataset
    counts = dataset.counts()
    classes = ", ".join(
        f"{printable(name)} {counts[i]:,}" for i, name in enumerate(dataset.classes[:CLASSES_SHOWN])
    )
    more = len(dataset.classes) - CLASSES_SHOWN
    classes += f" and {more:,} more" if more > 0 else ""
    head = f"{printable(dataset.source)}: {len(dataset.files):,} pictures, {len(dataset.classes):,}"
    yield f"{head} class{'' if len(dataset.classes) == 1 else 'es'} ({classes})"
    for finding in found.findings:
        yield from _finding_lines(finding, width)
    yield _verdict(found)


def _finding_lines(finding: Finding, width: int) -> Iterator[str]:
    severity = click.style(f"{finding.severity:<{MARGIN}}", fg=COLORS[finding.severity], bold=True)
    code = click.style(f"  [{finding.code}]", dim=True)
    yield f"{severity}{printable(finding.message)}{code}"
    room = max(30, width - MARGIN - 2)
    for group in finding.groups[:FILES_SHOWN]:
        yield f"{'':{MARGIN}}  {_group_line(group, room)}"
    if len(finding.groups) > FILES_SHOWN:
        yield f"{'':{MARGIN}}  and {len(finding.groups) - FILES_SHOWN:,} more"
    yield click.style(f"{'':{MARGIN}}{printable(finding.fix)}", dim=True)


def _group_line(group: tuple[Place, ...], room: int) -> str:
    """Return one file with what is special about it, or copies side by side."""
    if len(group) > 1:
        paths = " = ".join(printable(place.path) for place in group)
        return fitted(paths, room).rstrip() if display_width(paths) > room else paths
    path, detail = printable(group[0].path), printable(group[0].detail)
    left = room - display_width(detail) - 2
    if left < 16:
        return fitted(f"{path}  {detail}", room).rstrip()
    shown = fitted(path, left, keep_end=True).rstrip() if display_width(path) > left else path
    return f"{shown}  {click.style(detail, dim=True)}" if detail else shown


def _verdict(found: Examination) -> str:
    counts = found.to_dict()["summary"]
    parts = [
        f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts.items() if number
    ]
    if found.hurts:
        return click.style(f"{', '.join(parts)}: training would suffer.", bold=True)
    said = f"{', '.join(parts)}: nothing" if parts else "Nothing found"
    return click.style(f"{said} that would hurt training.", bold=True)
