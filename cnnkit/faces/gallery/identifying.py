"""`cnnkit gallery identify` as a function: images in, a row for each with who is on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.gallery.decision import Identification, decide
from cnnkit.faces.gallery.records import Settings
from cnnkit.faces.gallery.search import FaceIndex
from cnnkit.faces.verifying import FaceChoice
from cnnkit.folder_job import FolderJob, Outputs, Summary
from cnnkit.images import Found
from cnnkit.results import Face, Failure, make_row
from cnnkit.writers.row_tables import Column, FlatTable


@dataclass(frozen=True)
class IdentifiedImage:
    """Who is on an image.

    Attributes:
        faces: The largest first, each with whose it is.
    """

    faces: tuple[tuple[Face, Identification], ...]

    @property
    def names(self) -> list[str]:
        """The names in the order of the faces, ``unknown`` among them."""
        return [found.name for _, found in self.faces]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in a row."""
        faces = [face.to_dict() | found.to_dict() for face, found in self.faces]
        return {"names": self.names, "faces": faces}


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


class Identifier:
    """Names the faces of images by a gallery.

    Attributes:
        embedder: Finds and describes faces; the gallery's own.
        index: The gallery in memory.
        settings: How it decides.
        choice: Which faces of an image count.
    """

    def __init__(
        self, embedder: FaceEmbedder, index: FaceIndex, settings: Settings, choice: FaceChoice
    ) -> None:
        """Take what was loaded."""
        self.embedder = embedder
        self.index = index
        self.settings = settings
        self.choice = choice

    def name(self, image: ImageFaces) -> IdentifiedImage | Failure:
        """Name the faces of one described image.

        Returns:
            The faces, none where there is no face; or a failure where one is meant and several
            were found.
        """
        if not image.faces:
            return IdentifiedImage(())
        try:
            chosen = self.choice.of(image, 1)
        except ImageError as error:
            return Failure(error.kind, error.message)
        return IdentifiedImage(
            tuple(
                (image.faces[n], decide(self.index, image.embeddings[n], self.settings))
                for n in chosen
            )
        )


def identify(
    identifier: Identifier,
    found: Iterable[Found],
    outputs: Outputs,
    *,
    options: dict[str, Any],
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Name the faces of every input and leave what was asked for.

    Args:
        identifier: Loaded.
        found: The inputs.
        outputs: The outputs to write.
        options: Options that must be the same when a run is resumed.
        workers: Threads that read and describe.
        emit: Called with each row as it is produced.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    header = {
        "command": "gallery identify",
        "model": identifier.embedder.identity,
        "gallery": fingerprint(identifier.index),
        "options": options,
    }
    job = FolderJob(outputs, header, 0, IDENTIFY_TABLE)
    try:
        for path, image in identifier.embedder.stream(job.pending(found), workers):
            result = image if isinstance(image, Failure) else identifier.name(image)
            job.record(make_row(path, result), emit=emit)
        summary = job.finish()
    finally:
        job.close()
    return summary


def fingerprint(index: FaceIndex) -> str:
    """Return a hash of who is enrolled with which vectors: a changed gallery names otherwise."""
    digest = hashlib.sha256("\0".join(index.people).encode())
    digest.update(np.ascontiguousarray(index.starts).data)
    digest.update(np.ascontiguousarray(index.vectors).data)
    return digest.hexdigest()[:16]
