"""``split.csv``: which image is in which split, written by a run and given back to another."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnkit.data.dataset import SPLIT_NAMES, Dataset, split_name
from cnnkit.data.labeled_csv import CsvRow, read_csv_rows
from cnnkit.data.splits import SPLITS
from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.formats.csv_text import readings
from cnnkit.names import normal_name
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import csv_line, protected_cell

log = logging.getLogger(__name__)

COLUMNS = ("file", "label", "split")


def write_split_file(
    path: Path, dataset: Dataset, splits: np.ndarray, hashes: Sequence[str] | None = None
) -> None:
    """Write the split of every image; the file is itself a CSV that `read_dataset` takes.

    Args:
        path: The file; one that exists is replaced, whole or not at all.
        dataset: The data set.
        splits: int (images,), places in `SPLITS`.
        hashes: The SHA-256 of each image's content, for a fourth column.

    Raises:
        OutputError: The output cannot be written.
    """
    columns = [*COLUMNS, "sha256"] if hashes is not None else [*COLUMNS]
    with replacing(path) as file:
        file.write(_line(columns))
        for number, (image, split) in enumerate(zip(dataset.files, splits, strict=True)):
            cells = [protected_cell(image.name), protected_cell(dataset.classes[image.label])]
            cells.append(SPLITS[split])
            if hashes is not None:
                cells.append(hashes[number])
            file.write(_line(cells))


def _line(cells: list[str]) -> bytes:
    """Return one line of CSV with the bytes that a name has on the disk."""
    return csv_line(cells).encode("utf-8", "surrogateescape")


def read_split_file(path: Path, dataset: Dataset) -> np.ndarray:
    """Return the split of every image as a split file says.

    Lines of images that are gone are omitted, with a warning.

    Args:
        path: A file of `write_split_file`, or a CSV of that form.
        dataset: The set that it divides.

    Returns:
        int8 (images,), places in `SPLITS`.

    Raises:
        UsageError: An image has no line, or another class than its line says.
    """
    table = _Table(path)
    result = np.zeros(len(dataset.files), np.int8)
    for number, image in enumerate(dataset.files):
        result[number] = table.split(image.name, dataset.classes[image.label])
    gone = table.unused()
    if gone:
        log.warning("%s: %d of its images are no longer in %s.", path, gone, dataset.source)
    if len(dataset.files) and set(np.unique(result)) < {0, 1}:
        rule = "put images into train and into val"
        raise UsageError(broken_rule(str(path), rule, "only one of them"))
    return result


class _Table:
    """The lines of a split file, found by an image's name as it stands or as it may be meant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._splits: dict[tuple[str, str], int] = {}
        self._labels: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._used: set[tuple[str, str]] = set()
        for row in read_csv_rows(path):
            self._splits[row.file, row.label] = _split(row, path)
            self._labels[row.file] = row.label
            for form in readings(row.file):
                self._forms.setdefault(_common(form), row.file)

    def split(self, name: str, label: str) -> int:
        """Return the split of an image.

        Raises:
            UsageError: It has no line, or its line says another class.
        """
        file = name if name in self._labels else self._forms.get(_common(name), name)
        key = (file, normal_name(label))
        if key not in self._splits:
            raise UsageError(_missing(self._path, file, label, self._labels))
        self._used.add(key)
        return self._splits[key]

    def unused(self) -> int:
        """Return how many lines no image has asked for."""
        return len(self._splits) - len(self._used)


def _common(name: str) -> str:
    """Return what the spellings of one path have in common."""
    return posixpath.normpath(normal_name(name))


def _split(row: CsvRow, path: Path) -> int:
    name = split_name(row.split)
    if name is None:
        where = f"{path}, line {row.line}"
        fix = did_you_mean(row.split, list(SPLIT_NAMES))
        raise UsageError(broken_rule(where, "say train, val or test", repr(row.split), fix))
    return SPLITS.index(name)


def _missing(path: Path, name: str, label: str, by_file: dict[str, str]) -> str:
    if name in by_file:
        received = f"class {by_file[name]!r} for {name}, which is {label!r} in the data"
        return broken_rule(str(path), "give every image its class", received)
    fix = "Omit `split_file` to split the images again."
    return broken_rule(str(path), "have a line for every image", f"none for {name}", fix)
