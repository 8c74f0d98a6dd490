"""Who is on which image, without names: the rows of ``cnnkit gallery cluster``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.gallery.clustering import cluster
from cnnkit.images import Found
from cnnkit.results import Failure, make_row
from cnnkit.sorting_plan import PlanKind
from cnnkit.writers.row_tables import Column, FlatTable

OTHERS, NO_FACE = "_others", "_no-face"
# An image goes to its people, that of its largest face first; one without a face stays.
PEOPLE_PLAN = PlanKind(
    command="gallery cluster",
    folders=lambda row: row.get("people", []),
    names=re.compile(rf"person-\d{{3,}}|{OTHERS}"),  # as `_names` gives them
    table=FlatTable(
        [
            Column(
                "people", "text", lambda row: "; ".join(row["people"]) if "people" in row else None
            ),
            Column("faces", "integer", lambda row: len(row["faces"]) if "faces" in row else None),
        ]
    ),
)


class Sorted:
    """Who is on one image, as a row.

    Attributes:
        image: Its faces.
        people: Person of each face: ``person-001`` and so on, or `OTHERS`.
    """

    def __init__(self, image: ImageFaces, people: list[str]) -> None:
        """Take the image and whom its faces are of."""
        self.image = image
        self.people = people

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the row; the largest face comes first."""
        faces = [
            face.to_dict() | {"person": person}
            for face, person in zip(self.image.faces, self.people, strict=True)
        ]
        return {"people": list(dict.fromkeys(self.people)), "faces": faces}


def sorted_rows(
    embedder: FaceEmbedder,
    found: Iterable[Found],
    *,
    threshold: float,
    least: int,
    workers: int | None = None,
    advance: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each input with the people on it.

    Args:
        embedder: A loaded embedder.
        found: The inputs.
        threshold: Faces at most so far apart are neighbors.
        least: Faces that a person has at least; all others are `OTHERS`.
        workers: Threads that read and embed.
        advance: Called after each input.
    """
    results: list[tuple[str, ImageFaces | Failure]] = []
    for item in embedder.stream(found, workers):
        results.append(item)
        if advance is not None:
            advance()
    vectors = [p.embeddings for _, p in results if isinstance(p, ImageFaces)]
    everything = np.concatenate([v for v in vectors if len(v)] or [np.zeros((0, 1), np.float32)])
    numbers = cluster(everything, threshold, embedder.verification.metric)
    names = iter(_names(numbers, least))
    return [
        make_row(path, p if isinstance(p, Failure) else Sorted(p, [next(names) for _ in p.faces]))
        for path, p in results
    ]


def _names(numbers: np.ndarray, least: int) -> list[str]:
    """Return the folder's name of each face."""
    counts = np.bincount(numbers) if len(numbers) else np.zeros(0, int)
    width = max(3, len(str(len(counts))))
    return [f"person-{n + 1:0{width}d}" if counts[n] >= least else OTHERS for n in numbers]
