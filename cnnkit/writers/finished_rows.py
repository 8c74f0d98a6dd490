"""Reads which inputs a finished file of rows has, so that ``resume`` knows what is left."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError
from cnnkit.results import frame_key, key_of, pair_key
from cnnkit.writers.journal import (
    CRASHED,
    MALFORMED,
    MAX_LINE_BYTES,
    bounded_lines,
    path_key,
)
from cnnkit.writers.row_files import (
    FORMULA_STARTS,
    encodable,
    harmless_cell,
    import_pyarrow,
    plain_cell,
)


class FinishedRows:
    """The paths and statuses of a finished file, 8 bytes per path.

    Attributes:
        path: The file.
        statuses: How many rows are ``ok`` and ``error``.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            UsageError: It cannot be read, or holds no rows of cnnkit.
        """
        self.path = path
        self.statuses = {"ok": 0, "error": 0}
        self._forms, read = _READERS[path.suffix.lower()]
        self._keys: set[int] = set()
        self._failed: set[int] = set()
        self._crashed: set[int] = set()
        self._crashed_files: set[int] = set()
        try:
            for name, status, kind in read(path):
                key = path_key(name)
                if key not in self._keys:  # a CSV has a line for each box of an image
                    self._keys.add(key)
                    if status == "error":
                        self._failed.add(key)
                    self.statuses[status] += 1
                    if kind == CRASHED:
                        self._crashed.add(key)
                        self._crashed_files.add(path_key(name.partition("\0")[0]))
        except (OSError, *MALFORMED) as error:
            raise UsageError(
                f"{path} must hold rows of cnnkit. Received: another file. Use `overwrite=True` to "
                "overwrite it, or another name."
            ) from error

    def holds(self, path: str) -> bool:
        """Return whether the file has a row for this input, a path or a `pair_key`."""
        return self._key(path) is not None

    def status_of(self, path: str) -> str | None:
        """Return the status of this input's row, None if it has none; see `Journal.status_of`."""
        key = self._key(path)
        if key is None:
            return None
        return CRASHED if key in self._crashed else "error" if key in self._failed else "ok"

    def has_crashed(self, path: str) -> bool:
        """See `Journal.has_crashed`."""
        return any(path_key(form) in self._crashed_files for form in self._forms(path))

    def _key(self, path: str) -> int | None:
        """Return the key of this input's row, None if it has none."""
        spelled = itertools.product(*map(self._forms, path.split("\0")))
        keys = (path_key("\0".join(parts)) for parts in spelled)
        return next((key for key in keys if key in self._keys), None)


# The key of its input as the file spells it, its status, and the kind of its error.
_Row = tuple[str, str, str | None]


def _as_it_is(text: str) -> list[str]:
    return [text]


def _csv_cells(text: str) -> list[str]:
    """Return the cells that a CSV may have for a text: ours, and those of former versions.

    They protected numbers, and no apostrophe; a cell that is now another text's is not meant.
    """
    text = encodable(text)
    former = f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return list(dict.fromkeys([harmless_cell(text), *[former] * (plain_cell(former) == text)]))


def _parquet_texts(text: str) -> list[str]:
    return [encodable(text)]


def _json_rows(path: Path) -> Iterator[_Row]:
    with path.open("rb") as file:
        for line in bounded_lines(file, path):
            row = json.loads(line)
            yield key_of(row), row["status"], row.get("error", {}).get("kind")


def _csv_rows(path: Path) -> Iterator[_Row]:
    with _long_cells(), path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "status" not in (reader.fieldnames or ()):
            raise KeyError("status")  # else any file of one line would seem to have no rows
        for row in reader:
            yield _shown_key(row), row["status"], row.get("error_kind")


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Let `csv` read cells as long as rows may be, such as thousands of matches; 128 KiB else."""
    before = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: Path) -> Iterator[_Row]:
    with import_pyarrow().parquet.ParquetFile(path) as file:
        known = [
            name
            for name in ("path", "frame", "a", "b", "status", "error_kind")
            if name in file.schema_arrow.names
        ]
        for batch in file.iter_batches(columns=known):
            for row in batch.to_pylist():
                yield _shown_key(row), row["status"], row.get("error_kind")


def _shown_key(row: dict[str, Any]) -> str:
    """Return `cnnkit.results.key_of` for the paths as the file has them."""
    if "path" not in row:
        return pair_key(row["a"], row["b"])
    # Without a frame: an image among videos.
    return row["path"] if row.get("frame") in (None, "") else frame_key(row["path"], row["frame"])


# By suffix: the function that spells a path as the file may do, and the reader of its rows.
_Reader = tuple[Callable[[str], list[str]], Callable[[Path], Iterator[_Row]]]
_READERS: dict[str, _Reader] = {
    ".jsonl": (_as_it_is, _json_rows),
    ".csv": (_csv_cells, _csv_rows),
    ".parquet": (_parquet_texts, _parquet_rows),
}
