"""`cluster_faces`: groups images by the people in them, without names."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    check_positive,
    check_sortable,
    counter,
    input_list,
    path_of,
    pixel_limit,
)
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery.people_rows import PEOPLE_PLAN, sorted_rows
from cnnkit.images import Finder
from cnnkit.sorting_plan import check_how, nothing_to_resume, planned_folder, sorted_by_plan


@dataclass(frozen=True)
class ClusteredFaces:
    """Which people are in which images.

    Attributes:
        rows: One per image, a dictionary as ``cnnkit gallery cluster --json`` writes it.
        placed: Number of images that were copied, linked or moved.
    """

    rows: tuple[dict[str, Any], ...]
    placed: int

    @property
    def people(self) -> dict[str, list[str]]:
        """The images of each person by the person's name, the person with most faces first.

        ``_others`` are the faces of people with too few of them.
        """
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for person in row.get("people", []):
                found.setdefault(person, []).append(row["path"])
        return dict(sorted(found.items(), key=lambda item: (item[0][0] == "_", item[0])))

    @property
    def failed(self) -> int:
        """Number of inputs that could not be read."""
        return sum(row["status"] == "error" for row in self.rows)


@keeps_inputs
def cluster_faces(
    inputs: Inputs,
    *,
    sort_into: AnyPath | None = None,
    how: str = "copy",
    resume: bool = False,
    threshold: float | None = None,
    min_faces: int = 2,
    embedder: AnyPath = "dlib-face",
    detector: AnyPath | None = None,
    min_face: int = 40,
    min_score: float | None = None,
    mirror: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> ClusteredFaces:
    """Group images by the people in them, without names. No gallery is needed.

    Without `sort_into`, no file is changed. With it, the plan is written to ``plan.jsonl`` in that
    folder before the first image is touched, so that an interrupted run can be resumed.

    Args:
        inputs: One or more images, folders and patterns.
        sort_into: A new or empty folder that gets one folder per person.
        how: How images are placed there: ``copy``, ``link`` or ``move``. An image of several
            people is copied or linked to each of them, but moved to the person of its largest
            face.
        resume: Finish an interrupted `sort_into` from its plan; no face is looked for again.
        threshold: Largest distance between neighboring faces, over 0; the embedder's own by
            default.
        min_faces: Smallest number of faces of a person; all others go to ``_others``.
        embedder: The face embedder: an embedded name or a bundle folder.
        detector: The face detector: an embedded name or a bundle folder; by default the one
            that the embedder was made for.
        min_face: Smallest face side to search for, in pixels, at least 12.
        min_score: Minimum score of a face, from 0 to below 1; by default the detector's own.
        mirror: Average embeddings with those of the mirrored face, at twice the cost.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read and embed; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of the embedder); ``auto`` is
            float32 here.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each row before any file is touched; not for a resumed run.
        progress: Called with the number of images done and the total.

    Returns:
        The images of each person in ``.people``, all rows in ``.rows``.

    Raises:
        UsageError: An argument is invalid, `sort_into` holds files, or there is no plan to resume.
        BundleError: A model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An image cannot be placed; `resume` finishes the rest.
    """
    paths, folder = input_list(inputs), path_of(sort_into)
    check_sortable(paths, sort_into)
    check_positive(min_faces=min_faces)
    if threshold is not None and not resume and not (math.isfinite(threshold) and threshold > 0):
        raise UsageError(broken_rule("`threshold`", "be a distance over 0", threshold))
    check_how(how, folder)
    if resume and folder is None:
        raise nothing_to_resume(folder)

    def find() -> Finder:
        return Finder(paths, exclude=[] if folder is None else [str(folder)])

    def rows_of_faces() -> list[dict[str, Any]]:
        """Find the faces of all inputs, and return a row per image."""
        loaded = FaceEmbedder.load(
            detector,
            os.fspath(embedder),
            min_face=min_face,
            min_score=min_score,
            mirror=mirror,
            device=device,
            runtime=runtime,
            precision=precision,
            threads=threads,
            max_pixels=pixel_limit(max_pixels),
        )
        advance = None if progress is None else counter(progress, sum(1 for _ in find()))
        return sorted_rows(
            loaded,
            find(),
            threshold=threshold or loaded.verification.threshold,
            least=min_faces,
            workers=workers,
            advance=advance,
        )

    if folder is None:
        return ClusteredFaces(_emitted(rows_of_faces(), emit), 0)
    with planned_folder(folder, resume):
        rows, placed = sorted_by_plan(
            PEOPLE_PLAN, folder, how, find, None if resume else rows_of_faces, emit
        )
        return ClusteredFaces(tuple(rows), placed)


def _emitted(rows: list[dict[str, Any]], emit: Emit | None) -> tuple[dict[str, Any], ...]:
    """Show the rows, if anybody looks, and return them."""
    show: Callable[[dict[str, Any]], None] = emit or (lambda row: None)
    for row in rows:
        show(row)
    return tuple(rows)
