"""Brings an index of embeddings up to date: new and changed images, and those that are gone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnkit.classification.classifier import Classifier
from cnnkit.embedding_index import EmbeddingIndex
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import Finder, Found
from cnnkit.results import Failure, key_of, make_row, path_of
from cnnkit.storage.places import place_key
from cnnkit.writers.embedding_paths import image_line, state_of
from cnnkit.writers.locking import locked_beside
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")


def updated(
    index: EmbeddingIndex, finder: Finder, classifier: Classifier, workers: int | None
) -> EmbeddingIndex:
    """Embed new and changed images, mark those that are gone, and return the index as it is now.

    Args:
        index: The index; its file is replaced.
        finder: The images that it should have; the others stay as they are.
        classifier: The model that made the index, with features.
        workers: Threads that read and predict.

    Raises:
        UsageError: An input does not exist, or another run updates the index.
        OutputError: The index cannot be written.
    """
    with locked_beside(index.path):
        return _updated(EmbeddingIndex(index.path), finder, classifier, workers)


def _updated(
    index: EmbeddingIndex, finder: Finder, classifier: Classifier, workers: int | None
) -> EmbeddingIndex:
    began = time.time_ns()
    lines = list(index.lines())
    places = {_place_of(line): place for place, line in enumerate(lines)}
    wanted = [found for found in _readable(finder) if _is_stale(found.path, lines, places)]
    changed: dict[int, np.ndarray | None] = {}
    for path, result in classifier.stream(wanted, workers):
        place = places.setdefault(place_key(path), len(lines))
        if place == len(lines):
            lines.append({})
        lines[place] = image_line(make_row(path, result), began)
        if isinstance(result, Failure):
            _warn(path, result)
        changed[place] = None if isinstance(result, Failure) else result.features
    marked = sum([_mark(line) for line in lines])
    if changed or marked:
        index.replace(lines, changed)
    gone = sum("gone" in line for line in lines)
    failed = sum(vector is None for vector in changed.values())
    unreadable = f" ({failed} of them unreadable)" if failed else ""
    told = "%s: %d new or changed images%s, %d gone"
    log.info(told, index.path, len(changed), unreadable, gone)
    return EmbeddingIndex(index.path)


def _place_of(line: dict[str, Any]) -> str:
    """Return what is the same for all spellings of a line's path; frames have keys of their own."""
    return key_of(line) if "frame" in line else place_key(path_of(line))


def _readable(finder: Finder) -> Iterator[Found]:
    """Yield what may be read, and warn of the rest: it has no row in which that could be said.

    Raises:
        UsageError: There is no such file or folder: its images would silently not be found.
    """
    for found in finder:
        if found.failure is None:
            yield found
        elif found.failure.kind == "missing":
            received = f"{found.path}: {found.failure.message}"
            raise UsageError(broken_rule("`update`", "name existing images or folders", received))
        else:
            _warn(found.path, found.failure)


def _warn(path: str, failure: Failure) -> None:
    log.warning("%s: %s", printable(path), failure.message)


def _is_stale(path: str, lines: list[dict[str, Any]], places: dict[str, int]) -> bool:
    """Return whether an image is not in the index, or may not be the one that was embedded."""
    place = places.get(place_key(path))
    if place is None:
        return True
    line, state = lines[place], state_of(path)
    return state is None or any(line.get(name) != value for name, value in state.items())


def _mark(line: dict[str, Any]) -> bool:
    """Mark an image that is gone, or no longer; return whether that changes anything.

    Only a file whose state was noted can be missed: what lies in an archive is no file here.
    """
    was_gone = line.pop("gone", False)
    is_gone = "changed" in line and not os.path.lexists(path_of(line))
    if is_gone:
        line["gone"] = True
    return bool(was_gone) != is_gone
