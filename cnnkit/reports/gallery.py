"""The gallery of a run: ``--report FILE.html`` of ``cnnkit classify`` and ``cnnkit detect``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from markupsafe import Markup

from cnnkit.reports.escaping import json_for_html, visible
from cnnkit.reports.page import (
    IMAGE_BYTES,
    ROW_BYTES,
    Room,
    definitions,
    thumbnail_url,
    timestamp,
    write_page,
)
from cnnkit.results import UNKNOWN, path_of, path_text, place_of


@dataclass
class _FindingCounts:
    """What the rows added up to so far."""

    ok: int = 0
    failed: int = 0
    unknown: int = 0
    classes: set[str] = field(default_factory=set)
    rows: Room = field(default_factory=lambda: Room(ROW_BYTES))
    images: Room = field(default_factory=lambda: Room(IMAGE_BYTES))

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one record of the page."""
        if "error" in record:
            self.failed += 1
            return
        self.ok += 1
        if record["chosen"] < 0:
            self.unknown += 1
        else:
            self.classes |= set(record.get("classes", [record["label"]]))


@dataclass(frozen=True)
class Kind:
    """What a gallery is of.

    Attributes:
        record: What the page needs of a row that is well, its texts made visible.
        done: What was done to the images, in a word.
        unknown: What the images without a decision are called.
        failed: The heading of the errors.
    """

    record: Callable[[Mapping[str, Any]], dict[str, Any]]
    done: str
    unknown: str
    failed: str


def write_gallery(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    title: str,
    model_name: str,
    thumbnail: Callable[[str], bytes | None] | None,
    options: Mapping[str, object] | None = None,
    made: datetime | None = None,
    kind: Kind | None = None,
) -> None:
    """Write all images of a run into one HTML file that opens anywhere.

    Rows and thumbnails are taken and written one by one, so memory does not grow with their
    number (only the set of classes found is kept). The page does not grow without bound either:
    the first `IMAGE_BYTES` of thumbnails (a WebP of at most 200 pixels at quality 50 takes about
    4 kB) and the first `ROW_BYTES` of rows are in it, and its figures count all rows.

    Args:
        path: The file to write. An existing file is replaced once the new one is complete.
        rows: The rows of the run, as `cnnkit.results.make_row` gives them.
        title: The heading, such as ``photos/``.
        model_name: The model.
        thumbnail: Gives a small JPEG, PNG or WebP for a path as the file system wants it, or
            None. It may raise `cnnkit.errors.ImageError`: the card then has no image.
        options: Options of the run to show, name to value.
        made: Creation time to show in the report; now by default.
        kind: What it is of: `CLASSIFICATIONS`, the default, or `DETECTIONS`.

    Raises:
        OutputError: When the file cannot be written. Whatever `rows` raises passes through; in
            both cases nothing is left behind.
        ValueError: When a row is not of the schema.
    """
    counts, kind = _FindingCounts(), kind or CLASSIFICATIONS
    context = {
        "kind": kind,
        "title": title,
        "model_name": model_name,
        "made": timestamp(made),
        "options": list(definitions(options or {})),
        "records": _records(rows, thumbnail, counts, kind),
        "counts": counts,
    }
    write_page(path, "gallery.html.jinja", context, styles=["gallery.css"], scripts=["gallery.js"])


def _records(
    rows: Iterable[Mapping[str, Any]],
    thumbnail: Callable[[str], bytes | None] | None,
    counts: _FindingCounts,
    kind: Kind,
) -> Iterator[Markup]:
    """Give the data elements of one row after the other, and count them."""
    for row in rows:
        record = _record(row, kind)
        counts.add(record)
        text = Markup('<script type="application/json" class="row">%s</script>') % json_for_html(
            record
        )
        if not counts.rows.take(len(text)):
            continue
        address = None
        if "error" not in record:
            address = thumbnail_url(thumbnail, path_of(row), counts.images)
        if address:
            text += Markup('<script type="text/plain" class="thumbnail">%s</script>') % address
        yield text


def _record(row: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return what the page needs of a row, every text made visible."""
    text = path_text(place_of(row)) if "frame" in row else row["path"]
    path = visible(text)
    if row["status"] == "error":
        error = {name: visible(str(row["error"][name])) for name in ("kind", "message")}
        return {"path": path, "error": error}
    if row["status"] != "ok":
        raise ValueError(f"`status` must be ok or error. Received: status={row['status']!r}.")
    record = {"path": path, "name": visible(os.path.basename(text))} | kind.record(row)
    return record | ({"sorted_to": visible(row["sorted_to"])} if row.get("sorted_to") else {})


def _classification(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return label, score and predictions of a row.

    ``chosen`` is the place of the decision among the predictions, -1 where it is ``unknown``.
    """
    labels = [prediction["label"] for prediction in row["predictions"]]
    chosen = labels.index(row["label"]) if row["label"] in labels else -1
    if chosen < 0 and row["label"] != UNKNOWN:
        raise ValueError(
            f"`label` must be among the predictions or {UNKNOWN!r}. Received: {row['label']!r}."
        )
    return {
        "label": visible(row["label"]),
        "score": row["score"],
        "chosen": chosen,
        "predictions": [[visible(p["label"]), p["score"]] for p in row["predictions"]],
    }


def _detections(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the surest object's label and score, all objects, and the classes among them."""
    found = [[visible(one["label"]), one["score"]] for one in row["detections"]]
    label, score = found[0] if found else ("nothing", 0)
    classes = list(dict.fromkeys(name for name, _ in found))
    chosen = 0 if found else -1
    return {
        "label": label,
        "score": score,
        "chosen": chosen,
        "predictions": found,
        "classes": classes,
    }


CLASSIFICATIONS = Kind(_classification, "classified", "unknown", "Could not be classified")
DETECTIONS = Kind(_detections, "processed", "without objects", "Could not be processed")
