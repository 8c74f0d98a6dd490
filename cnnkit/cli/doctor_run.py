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
from cnnkit.diagnosis.boxes import BoxExamination, examine_boxes
from cnnkit.diagnosis.classes import Examination, examine
from cnnkit.diagnosis.findings import Finding, Place
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.formats import read_boxes
from cnnkit.formats.opening import is_box_set
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
    pictures: str | None,
    task: str,
    as_json: bool,
    report: str | None,
    overwrite: bool,
    max_pixels: int | None,
    workers: int | None,
    quiet: bool,
) -> bool:
    """Examine, show, and return whether something would hurt training."""
    page = _report_path(report, overwrite)
    has_boxes = is_box_set(data) if task == "auto" else task == "detect"
    boxes = read_boxes(data, pictures) if has_boxes else None
    if boxes is None and pictures is not None:
        raise UsageError(broken_rule("--pictures", "go with annotations of boxes", data))
    if boxes is not None and root is not None:
        raise UsageError(broken_rule("--root", "go with a CSV", data, "Use --pictures DIR."))
    dataset = boxes or read_dataset(data, root)
    started = time.monotonic()
    hidden = quiet or not sys.stderr.isatty()
    count = len(boxes.pictures if boxes else dataset.files)
    with click.progressbar(length=count, label="doctor", file=sys.stderr, hidden=hidden) as bar:
        found = (examine_boxes if boxes else examine)(
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


def lines(found: Examination | BoxExamination, width: int) -> Iterator[str]:
    """Yield the examination as a table for people, `width` columns wide."""
    yield _head(found)
    for finding in found.findings:
        yield from _finding_lines(finding, width)
    yield _verdict(found)


def _head(found: Examination | BoxExamination) -> str:
    """Return one line about what the set holds."""
    content = found.to_dict()
    data, known = content["data"], content["classes"]
    noun = "boxes" if "boxes" in data else "pictures"
    classes = ", ".join(f"{printable(c['label'])} {c[noun]:,}" for c in known[:CLASSES_SHOWN])
    more = len(known) - CLASSES_SHOWN
    classes += f" and {more:,} more" if more > 0 else ""
    boxes = f" {data['boxes']:,} boxes," if "boxes" in data else ""
    head = f"{printable(data['path'])}: {data['pictures']:,} pictures,{boxes} {len(known):,}"
    return f"{head} class{'' if len(known) == 1 else 'es'} ({classes})"


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


def _verdict(found: Examination | BoxExamination) -> str:
    counts = found.to_dict()["summary"]
    parts = [
        f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts.items() if number
    ]
    if found.hurts:
        return click.style(f"{', '.join(parts)}: training would suffer.", bold=True)
    said = f"{', '.join(parts)}: nothing" if parts else "Nothing found"
    return click.style(f"{said} that would hurt training.", bold=True)
