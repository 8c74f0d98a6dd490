"""The report of ``cnnkit doctor``: what was found in a training set, with thumbnails.

`write_examination` takes the very dict that ``cnnkit doctor --json`` writes; its form is in
`cnnkit.diagnosis.findings.report`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from cnnkit.reports.charts import bar_chart
from cnnkit.reports.page import thumbnail_url, timestamp, write_page
from cnnkit.results import path_of

GROUPS_WITH_IMAGES = 60  # of each finding; the thumbnails are most of the file
IMAGES_OF_A_GROUP = 12
LINES = 500  # of a finding without images
BARS = 30
# What these are about cannot be shown, or says all in words.
WITHOUT_IMAGES = ("unreadable", "stray-files")


def write_examination(
    path: str | os.PathLike[str],
    examination: Mapping[str, Any],
    *,
    title: str,
    thumbnail: Callable[[str], bytes | None] | None = None,
    made: datetime | None = None,
) -> None:
    """Write the examination of a training set as one HTML file that opens anywhere.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        examination: The dict of ``cnnkit doctor --json``.
        title: The heading.
        thumbnail: Gives a small JPEG, PNG or WebP for a path as the file system wants it, or
            None. It may raise `cnnkit.errors.ImageError`: the card then has no image.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
        ValueError: When `examination` is not of the schema.
    """
    version, task = examination.get("schema_version"), examination.get("task")
    if (version, task) != (1, "doctor"):
        raise ValueError(
            "`examination` must have schema_version 1 and task 'doctor'. "
            f"Received: {version!r} and {task!r}."
        )
    context = {
        "title": title,
        "made": timestamp(made),
        "data": examination["data"],
        "summary": examination["summary"],
        "hurts": examination["hurts"],
        "findings": [_finding(f, thumbnail) for f in examination["findings"]],
    }
    context |= _classes(examination["classes"])
    write_page(path, "doctor.html.jinja", context, styles=["doctor.css"], scripts=["tables.js"])


def _finding(
    finding: Mapping[str, Any], thumbnail: Callable[[str], bytes | None] | None
) -> dict[str, Any]:
    """Return a finding with its images, as many as a page can show."""
    groups = finding["groups"]
    if finding["code"] in WITHOUT_IMAGES:
        lines = [place for group in groups for place in group]
        shown, more = {"lines": lines[:LINES], "groups": []}, len(lines) - LINES
    else:
        cards = [_group(group, thumbnail) for group in groups[:GROUPS_WITH_IMAGES]]
        shown, more = {"lines": [], "groups": cards}, len(groups) - GROUPS_WITH_IMAGES
    together = any(len(group) > 1 for group in groups)
    names = ("code", "severity", "message", "fix")
    rest = {"together": together, "more": max(0, more), "count": len(groups)}
    return {name: finding[name] for name in names} | shown | rest


def _group(
    group: Sequence[Mapping[str, Any]], thumbnail: Callable[[str], bytes | None] | None
) -> dict[str, Any]:
    places = [
        {
            "path": place["path"],
            "name": os.path.basename(place["path"]),
            "image": thumbnail_url(thumbnail, path_of(dict(place))),
            "about": " · ".join(
                place[name] for name in ("split", "label", "detail") if name in place
            ),
        }
        for place in group[:IMAGES_OF_A_GROUP]
    ]
    return {"places": places, "more": len(group) - len(places)}


def _classes(classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the table of the classes and the bars of their sizes."""
    most = max((c["pictures"] for c in classes), default=0)
    largest = sorted(classes, key=lambda c: -c["pictures"])
    half = BARS // 2
    shown = largest if len(largest) <= BARS else [*largest[:half], *largest[-half:]]
    splits = list(dict.fromkeys(name for c in classes for name in c.get("splits", {})))
    bars = None
    if most:
        pairs = [(c["label"], float(c["pictures"])) for c in shown]
        bars = bar_chart(pairs, title="Images per class", maximum=max(2.0, most))
    return {
        "classes": classes,
        "splits": splits,
        "bars": bars,
        "bars_shown": len(shown) if len(shown) < len(classes) else 0,
    }
