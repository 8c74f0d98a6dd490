"""`cnnkit gallery cluster` as a function: who is on which image, and where each is to go.

The plan is complete before any image is touched, and is written first: a run that is killed
while it moves images is finished from its plan, never from what the folder then looks like.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.gallery.clustering import cluster
from cnnkit.images import Finder, Found
from cnnkit.results import Failure, make_row, path_of
from cnnkit.sorting import HOW, finish, is_place_for
from cnnkit.writers.journal import bounded_lines, check_row
from cnnkit.writers.row_files import write_rows
from cnnkit.writers.row_tables import Column, FlatTable

OTHERS, NO_FACE = "_others", "_no-face"
# The folders of people, as `_names` gives them.
PERSON = re.compile(rf"person-\d{{3,}}|{OTHERS}")
PLAN_TABLE = FlatTable(
    [
        Column("people", "text", lambda row: "; ".join(row["people"]) if "people" in row else None),
        Column("faces", "integer", lambda row: len(row["faces"]) if "faces" in row else None),
    ]
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


def with_places(rows: list[dict[str, Any]], folder: Path, how: str) -> list[dict[str, Any]]:
    """Return the rows with where each image is to go, under names that nothing has.

    An image of several people is copied or linked to each of them; moved, it goes to the person
    of its largest face. One without a face stays where it is.

    Args:
        rows: Rows returned by `sorted_rows`.
        folder: That gets a folder for each person.
        how: ``copy``, ``link`` or ``move``.

    Raises:
        UsageError: There is no such way.
    """
    if how not in HOW:
        raise UsageError(broken_rule("`how`", f"be one of {', '.join(HOW)}", how))
    taken: set[Path] = set()
    planned = []
    for row in rows:
        people = row.get("people", [])
        wanted = people[:1] if how == "move" else people
        name = Path(path_of(row)).name
        places = [_free(folder / person, name, taken) for person in wanted]
        planned.append(row | {"sorted_to": [str(place) for place in places]} if places else row)
    return planned


def _free(folder: Path, name: str, taken: set[Path]) -> Path:
    """Return a place that neither a file nor this plan has taken: NAME, or NAME-2 and so on."""
    stem, suffix = Path(name).stem, Path(name).suffix
    place, number = folder / name, 2
    while place in taken or place.exists() or place.is_symlink():
        place, number = folder / f"{stem}-{number}{suffix}", number + 1
    taken.add(place)
    return place


def write_plan(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows, whole or not at all.

    Raises:
        OutputError: They cannot be written.
    """
    write_rows(path, rows, PLAN_TABLE)


def read_plan(path: Path) -> list[dict[str, Any]]:
    """Read the rows of an earlier run.

    Raises:
        UsageError: It is no plan.
    """
    rows: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            for line in bounded_lines(file, path):
                rows.append(json.loads(line))
                check_row(rows[-1])
                if not _are_texts(rows[-1].get("sorted_to", [])):
                    raise ValueError("other places")
                if not _are_texts(rows[-1].get("people", [])):
                    raise ValueError("other people")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        rule = "be the .jsonl of an earlier gallery cluster"
        raise UsageError(broken_rule(str(path), rule, str(error)[:100])) from error
    return rows


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def check_plan(
    rows: list[dict[str, Any]], folder: Path, how: str, finder: Finder | None = None
) -> None:
    """Refuse a plan that this command would not have written: it may be a stranger's.

    Args:
        rows: Rows returned by `read_plan`.
        folder: That gets a folder for each person.
        how: ``copy``, ``link`` or ``move``.
        finder: Finder of this run's inputs, not yet used; None if the rows are from this run.

    Raises:
        UsageError: An image is none of the inputs, or its place is not one of its people's.
    """
    top = folder.resolve()
    seen: set[str] = set()
    for row in rows:
        places = row.get("sorted_to", [])
        if path_of(row) in seen or (how == "move" and len(places) > 1):
            raise UsageError(broken_rule("a plan", "move an image once", row["path"]))
        seen.add(path_of(row))
        for place in map(Path, places):
            if not _is_own_place(place, top, row):
                raise UsageError(broken_rule("sorted_to", f"lie in {folder}", place))
    if finder is None:
        return
    seen -= {found.path for found in finder}
    for row in rows:
        path = path_of(row)
        gone = not os.path.lexists(path) and finder.could_have_found(path)
        if path in seen and row.get("sorted_to") and not gone:
            rule = "hold this run's inputs"
            fix = "Give the same inputs again."
            raise UsageError(broken_rule("the plan", rule, row["path"], fix))


def _is_own_place(place: Path, top: Path, row: dict[str, Any]) -> bool:
    """Return whether `with_places` may have given an image this place."""
    person = place.parent.name
    return (
        ".." not in place.parts
        and PERSON.fullmatch(person) is not None
        and person in row.get("people", [])
        and not place.parent.is_symlink()
        and place.parent.parent.resolve() == top
        and is_place_for(place, place.parent, os.path.basename(path_of(row)))
    )


def carry_out(rows: list[dict[str, Any]], folder: Path, how: str) -> int:
    """Put every image where its row says; what is there already is left as it is.

    Returns:
        How many images have a place.

    Raises:
        OutputError: One cannot be put there; the same call with ``resume`` goes on.
        UsageError: A row's place is not one of its people's, below the folder.
    """
    check_plan(rows, folder, how)
    count = 0
    for row in rows:
        for place in row.get("sorted_to", []):
            try:
                finish(path_of(row), Path(place), how)
            except OSError as error:
                raise OutputError(f"{place} cannot be written: {error.strerror}.") from error
        count += bool(row.get("sorted_to"))
    return count
