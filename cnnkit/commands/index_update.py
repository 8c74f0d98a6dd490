"""Brings an index of embeddings up to date: new and changed images, and those that are gone."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import numpy as np

from cnnkit.classification.classifier import Classifier
from cnnkit.embedding_index import EmbeddingIndex
from cnnkit.images import Finder
from cnnkit.results import Failure, key_of, make_row, path_of
from cnnkit.writers.embedding_paths import image_line, state_of

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
        OutputError: The index cannot be written.
    """
    began = time.time_ns()
    lines = list(index.lines())
    places = {key_of(line): place for place, line in enumerate(lines)}
    wanted = [
        found for found in finder if found.failure is None and _is_stale(found.path, lines, places)
    ]
    changed: dict[int, np.ndarray | None] = {}
    for path, result in classifier.stream(wanted, workers):
        place = places.setdefault(path, len(lines))
        if place == len(lines):
            lines.append({})
        lines[place] = image_line(make_row(path, result), began)
        changed[place] = None if isinstance(result, Failure) else result.features
    marked = sum([_mark(line) for line in lines])
    if changed or marked:
        index.replace(lines, changed)
    gone = sum("gone" in line for line in lines)
    log.info("%s: %d new or changed images, %d gone", index.path, len(changed), gone)
    return EmbeddingIndex(index.path)


def _is_stale(path: str, lines: list[dict[str, Any]], places: dict[str, int]) -> bool:
    """Return whether an image is not in the index, or may not be the one that was embedded."""
    if path not in places:
        return True
    line, state = lines[places[path]], state_of(path)
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
