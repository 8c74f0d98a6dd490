"""The report of ``cnnkit explain``: each image as it is and with the heat over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cnnkit.reports.escaping import image_data_url
from cnnkit.reports.page import definitions, timestamp, write_page
from cnnkit.results import path_text, place_of


@dataclass
class _ExplanationCounts:
    """What the rows added up to so far."""

    ok: int = 0
    failed: int = 0
    other: int = 0


def write_explanations(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    title: str,
    model_name: str,
    thumbnails: Callable[[str], tuple[bytes, bytes] | None],
    options: Mapping[str, object] | None = None,
    made: datetime | None = None,
) -> None:
    """Write all explained images into one HTML file that opens anywhere.

    Rows and thumbnails are taken and written one by one: memory does not grow with them.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        rows: The rows of the run.
        title: The heading.
        model_name: The model that is explained.
        thumbnails: Gives two small images, plain and with the heat, for a path as the file
            system wants it; or None.
        options: Options of the run to show, name to value.
        made: Creation time to show in the report; now by default.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    counts = _ExplanationCounts()
    context = {
        "title": title,
        "model_name": model_name,
        "made": timestamp(made),
        "options": list(definitions(options or {})),
        "cards": _cards(rows, thumbnails, counts),
        "counts": counts,
    }
    write_page(path, "explain.html.jinja", context, styles=["explain.css"])


def _cards(
    rows: Iterable[Mapping[str, Any]],
    thumbnails: Callable[[str], tuple[bytes, bytes] | None],
    counts: _ExplanationCounts,
) -> Iterator[dict[str, Any]]:
    for row in rows:
        text = path_text(place_of(row)) if "frame" in row else row["path"]
        card = {"path": text, "name": os.path.basename(text)}
        if row["status"] == "error":
            counts.failed += 1
            yield card | {"error": row["error"]}
            continue
        counts.ok += 1
        other = row["predicted"] if row["predicted"] != row["label"] else None
        counts.other += other is not None
        images = thumbnails(path_text(place_of(row)))
        urls = [image_data_url(one) for one in images] if images else [None, None]
        yield card | {
            "plain": urls[0],
            "heat": urls[1],
            "label": row["label"],
            "score": row["score"],
            "other": other,
            "box": row["box"],
            "error": None,
        }
