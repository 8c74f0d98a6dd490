"""The report of ``cnnkit explain``: each image as it is and with the heat over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cnnkit.reports.escaping import image_data_url
from cnnkit.reports.page import CARDS, IMAGE_BYTES, Room, definitions, timestamp, write_page
from cnnkit.results import path_text, place_of


@dataclass
class _ExplanationCounts:
    """What the rows added up to so far."""

    ok: int = 0
    failed: int = 0
    other: int = 0
    cards: Room = field(default_factory=lambda: Room(CARDS))
    images: Room = field(default_factory=lambda: Room(IMAGE_BYTES))


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

    Rows and thumbnails are taken and written one by one: memory does not grow with them. The
    page has the first `CARDS` rows and the first `IMAGE_BYTES` of thumbnails, and counts all rows.

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
            if counts.cards.take():
                yield card | {"error": row["error"]}
            continue
        counts.ok += 1
        other = row["predicted"] if row["predicted"] != row["label"] else None
        counts.other += other is not None
        if not counts.cards.take():
            continue
        plain, heat = _addresses(path_text(place_of(row)), thumbnails, counts.images)
        yield card | {
            "plain": plain,
            "heat": heat,
            "label": row["label"],
            "score": row["score"],
            "other": other,
            "box": row["box"],
            "error": None,
        }


def _addresses(
    path: str, thumbnails: Callable[[str], tuple[bytes, bytes] | None], room: Room
) -> tuple[str | None, str | None]:
    """Return the ``data:`` addresses of an image's two thumbnails, as far as there is room."""
    images = None if room.is_full else thumbnails(path)
    plain, heat = (image_data_url(one) for one in images) if images else (None, None)
    if room.is_full or plain is not None:
        size = len(plain or "") + len(heat or "")
        if not room.take(size):
            return None, None
    return plain, heat
