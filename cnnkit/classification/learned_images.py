"""Which images a bundle learned from, as the ``split.csv`` beside its card says."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from cnnkit.data.dataset import split_name
from cnnkit.errors import ImageError, UsageError
from cnnkit.formats.csv_text import read_csv_table
from cnnkit.images import read_bytes

log = logging.getLogger(__name__)

SPLIT_FILE = "split.csv"
COLUMNS = ("split", "sha256")


def learned_contents(bundle_folder: Path) -> frozenset[str]:
    """Return the SHA-256 of every image of the train split.

    Args:
        bundle_folder: Folder of a bundle. Without a readable ``split.csv``, nothing is known.
    """
    path = bundle_folder / SPLIT_FILE
    if not path.is_file():
        return frozenset()
    try:
        table = read_csv_table(path, COLUMNS)
        if not set(COLUMNS) <= set(table.names):
            return frozenset()
        split, content = (table.names.index(name) for name in COLUMNS)
        rows = (row.cells for row in table.records if len(row.cells) > max(split, content))
        return frozenset(row[content] for row in rows if split_name(row[split]) == "train")
    except UsageError as error:  # it is asked for a hint only
        log.debug("%s", error)
        return frozenset()


def count_learned(paths: Iterable[str], contents: frozenset[str]) -> int:
    """Return how many images have a content among those; what cannot be read has none."""
    return sum(_content(path) in contents for path in paths) if contents else 0


def _content(path: str) -> str | None:
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except ImageError:
        return None
