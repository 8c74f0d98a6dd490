"""`cnnkit gallery identify` as a function: images in, a row for each with who is on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnkit.faces.embedding import FaceEmbedder
from cnnkit.faces.gallery.gallery import Gallery
from cnnkit.faces.gallery.known import KnownFaces
from cnnkit.faces.gallery.search import FaceIndex
from cnnkit.folder_job import FolderJob, Outputs, RowAndFeatures, RowEngine, Summary
from cnnkit.images import Found
from cnnkit.results import make_row
from cnnkit.writers.row_tables import Column, FlatTable


def _largest(row: dict[str, Any]) -> dict[str, Any]:
    """Return the largest face of a row, or nothing."""
    return (row.get("faces") or [{}])[0]


IDENTIFY_TABLE = FlatTable(
    [
        Column("faces", "integer", lambda row: len(row["faces"]) if "faces" in row else None),
        Column("names", "text", lambda row: "; ".join(row["names"]) if "names" in row else None),
        Column("name", "text", lambda row: _largest(row).get("name")),
        Column("distance", "number", lambda row: _largest(row).get("distance")),
        Column("probability", "number", lambda row: _largest(row).get("probability")),
    ]
)


def identify(
    gallery: Gallery,
    found: Iterable[Found],
    outputs: Outputs,
    *,
    options: dict[str, Any],
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
    engine: RowEngine | None = None,
) -> Summary:
    """Name the faces of every input and leave what was requested.

    Args:
        gallery: Loaded.
        found: The inputs.
        outputs: The outputs to write.
        options: Options that must be the same when a run is resumed.
        workers: Threads that read and embed.
        emit: Called with each row as it is produced.
        engine: Makes the rows elsewhere, by `identified_rows`.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    header = {
        "command": "gallery identify",
        "model": gallery.embedder.identity,
        "gallery": fingerprint(gallery.index),
        "options": options,
    }
    job = FolderJob(outputs, header, 0, IDENTIFY_TABLE, engine=engine)
    try:
        make = partial(identified_rows, gallery.known(), gallery.embedder, workers)
        for row, _ in job.made(found, make):
            job.record(row, emit=emit)
        summary = job.finish()
    finally:
        job.close()
    return summary


def identified_rows(
    known: KnownFaces, embedder: FaceEmbedder, workers: int | None, found: Iterable[Found]
) -> Iterator[RowAndFeatures]:
    """Yield the row of each input, in order.

    Args:
        known: The people, and how they are recognized.
        embedder: Finds and embeds faces.
        workers: Threads that read and embed.
        found: The inputs.
    """
    for path, result in known.stream(embedder, found, workers):
        yield make_row(path, result), None


def fingerprint(index: FaceIndex) -> str:
    """Return a hash of who is enrolled with which vectors: a changed gallery names otherwise."""
    digest = hashlib.sha256("\0".join(index.people).encode())
    digest.update(np.ascontiguousarray(index.starts).data)
    digest.update(np.ascontiguousarray(index.vectors).data)
    return digest.hexdigest()[:16]
