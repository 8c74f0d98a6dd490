"""``split.csv``: which picture is in which split, written by a run and given back to another."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnkit.data.dataset import SPLIT_NAMES, Dataset
from cnnkit.data.labelled_csv import CsvRow, protected_cell, read_csv_rows
from cnnkit.data.splits import SPLITS
from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.writers.row_files import replacing

log = logging.getLogger(__name__)

COLUMNS = ("file", "label", "split")


def write_split_file(
    path: Path, dataset: Dataset, splits: np.ndarray, hashes: Sequence[str] | None = None
) -> None:
    """Write the split of every picture; the file is itself a CSV that `read_dataset` takes.

    Args:
        path: The file; one that exists is replaced, whole or not at all.
        dataset: The set.
        splits: int (pictures,), places in `SPLITS`.
        hashes: The SHA-256 of each picture's content, for a fourth column.

    Raises:
        OutputError: It cannot be written.
    """
    columns = [*COLUMNS, "sha256"] if hashes is not None else [*COLUMNS]
    with replacing(path) as file:
        file.write(_line(columns))
        for number, (picture, split) in enumerate(zip(dataset.files, splits, strict=True)):
            cells = [protected_cell(picture.name), protected_cell(dataset.classes[picture.label])]
            cells.append(SPLITS[split])
            if hashes is not None:
                cells.append(hashes[number])
            file.write(_line(cells))


def _line(cells: list[str]) -> bytes:
    """Return one line of CSV; a name may hold either half of a line's end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # which it then quotes in cells
    return (line.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "surrogateescape")


def read_split_file(path: Path, dataset: Dataset) -> np.ndarray:
    """Return the split of every picture as a split file says.

    Lines of pictures that are gone are left out, with a warning.

    Args:
        path: A file of `write_split_file`, or a CSV of that form.
        dataset: The set that it divides.

    Returns:
        int8 (pictures,), places in `SPLITS`.

    Raises:
        UsageError: A picture has no line, or another class than its line says.
    """
    rows = {(row.file, row.label): _split(row, path) for row in read_csv_rows(path)}
    by_file = {file: label for file, label in rows}
    result = np.zeros(len(dataset.files), np.int8)
    for number, picture in enumerate(dataset.files):
        label = dataset.classes[picture.label]
        if (picture.name, label) not in rows:
            raise UsageError(_missing(path, picture.name, label, by_file))
        result[number] = rows[picture.name, label]
    gone = len(rows) - len({(f.name, f.label) for f in dataset.files})
    if gone:
        log.warning("%s: %d of its pictures are no longer in %s.", path, gone, dataset.source)
    if len(dataset.files) and set(np.unique(result)) < {0, 1}:
        rule = "put pictures into train and into val"
        raise UsageError(broken_rule(str(path), rule, "only one of them"))
    return result


def _split(row: CsvRow, path: Path) -> int:
    name = SPLIT_NAMES.get(row.split.lower())
    if name is None:
        where = f"{path}, line {row.line}"
        fix = did_you_mean(row.split, list(SPLIT_NAMES))
        raise UsageError(broken_rule(where, "say train, val or test", repr(row.split), fix))
    return SPLITS.index(name)


def _missing(path: Path, name: str, label: str, by_file: dict[str, str]) -> str:
    if name in by_file:
        received = f"class {by_file[name]!r} for {name}, which is {label!r} in the data"
        return broken_rule(str(path), "give every picture its class", received)
    fix = "Leave out --split-file to divide the pictures anew."
    return broken_rule(str(path), "have a line for every picture", f"none for {name}", fix)
