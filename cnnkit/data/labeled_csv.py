"""Reads a CSV of files and classes; all commands accept the same columns."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.csv_text import CsvTable, read_csv_table
from cnnkit.names import normal_name
from cnnkit.writers.row_files import plain_cell

log = logging.getLogger(__name__)

FILE_COLUMNS = ("file", "path", "image", "filename")
CLASS_COLUMNS = ("class", "label", "class_index", "index")
INDEX_COLUMNS = ("class_index", "index")
SPLIT_COLUMNS = ("split", "subset")


class CsvRow(NamedTuple):
    """One line of a CSV of labeled images.

    Attributes:
        line: Its number in the file, from 1.
        file: The image, as written.
        label: The class, normalized by `normal_name`.
        by_index: Whether the column says that the class is given by its index.
        split: The split, as written, or "".
    """

    line: int
    file: str
    label: str
    by_index: bool
    split: str


def read_csv_rows(path: Path) -> Iterator[CsvRow]:
    """Yield the rows of a CSV with a header; rows of empty cells are omitted.

    Args:
        path: A CSV as `cnnkit.formats.csv_text` reads it, with a column ``file`` (or path,
            image, filename), a column ``class`` (or label, class_index, index) and optionally a
            column ``split`` (or subset).

    Raises:
        UsageError: The file cannot be read, or has another format; the message names the line.
    """
    known = (*FILE_COLUMNS, *CLASS_COLUMNS, *SPLIT_COLUMNS)
    table = read_csv_table(path, known)
    columns = _Columns.of(table, path)
    for line, cells in table.records:
        yield columns.row(cells, f"{path}, line {line}", line)


class _Columns(NamedTuple):
    """Indices of the columns; ``split`` is -1 if there is none."""

    file: int
    label: int
    split: int
    by_index: bool

    @classmethod
    def of(cls, table: CsvTable, path: Path) -> _Columns:
        """Find the columns by their names."""
        names = table.names
        file = _find(table, FILE_COLUMNS, path)
        label = _find(table, CLASS_COLUMNS, path)
        split = next((names.index(name) for name in SPLIT_COLUMNS if name in names), -1)
        return cls(file, label, split, names[label] in INDEX_COLUMNS)

    def row(self, cells: list[str], where: str, line: int) -> CsvRow:
        """Return one line's file, class and split.

        Raises:
            UsageError: It has no file or no class.
        """
        if max(self.file, self.label) < len(cells):
            file, label = plain_cell(cells[self.file]), normal_name(plain_cell(cells[self.label]))
            if file and label:
                split = cells[self.split].strip() if 0 <= self.split < len(cells) else ""
                return CsvRow(line, file, label, self.by_index, split)
        raise UsageError(broken_rule(where, "have a file and a class", "neither or one"))


def _find(table: CsvTable, wanted: tuple[str, ...], path: Path) -> int:
    """Return the index of the first of these columns that there is; say so if there are others."""
    present = [name for name in wanted if name in table.names]
    if present:
        if others := ", ".join(present[1:]):
            log.info("%s: the column %s is read, not %s", path, present[0], others)
        return table.names.index(present[0])
    rule = f"have a column named one of {', '.join(wanted)}"
    fix = "Separate the columns by commas, semicolons or tabs." if len(table.names) < 2 else ""
    raise UsageError(broken_rule(str(path), rule, table.columns(), fix))
