"""Reads a CSV of files and classes; the same columns are taken wherever cnnkit reads one."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnkit.errors import UsageError, broken_rule
from cnnkit.writers.row_files import FORMULA_STARTS, harmless_cell

FILE_COLUMNS = ("file", "path", "image", "filename")
CLASS_COLUMNS = ("class", "label", "class_index", "index")
INDEX_COLUMNS = ("class_index", "index")
SPLIT_COLUMNS = ("split", "subset")


class CsvRow(NamedTuple):
    """One line of a CSV of labelled pictures.

    Attributes:
        line: Its number in the file, from 1.
        file: The picture, as written.
        label: The class, as written, without spaces around it.
        by_index: Whether the column says that the class is given by its index.
        split: The split, as written, or "".
    """

    line: int
    file: str
    label: str
    by_index: bool
    split: str


def read_csv_rows(path: Path) -> Iterator[CsvRow]:
    """Yield the rows of a CSV with a header.

    Args:
        path: A UTF-8 CSV (undecodable bytes in names are kept) with a column ``file`` (or path,
            image, filename), a column ``class`` (or label, class_index, index) and perhaps a
            column ``split`` (or subset).

    Raises:
        UsageError: The file cannot be read, or is not of this form; the message has the line.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            columns = _Columns.of(header, path)
            for cells in reader:
                if cells:
                    yield columns.row(cells, f"{path}, line {reader.line_num}", reader.line_num)
    except csv.Error as error:
        raise UsageError(broken_rule(str(path), "be a CSV", error)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


class _Columns(NamedTuple):
    """Where the columns stand; ``split`` is -1 where there is none."""

    file: int
    label: int
    split: int
    by_index: bool

    @classmethod
    def of(cls, header: Sequence[str], path: Path) -> _Columns:
        """Find the columns by their names."""
        names = [name.strip().lower() for name in header]
        file = _find(names, FILE_COLUMNS, path)
        label = _find(names, CLASS_COLUMNS, path)
        split = next((names.index(name) for name in SPLIT_COLUMNS if name in names), -1)
        return cls(file, label, split, names[label] in INDEX_COLUMNS)

    def row(self, cells: list[str], where: str, line: int) -> CsvRow:
        """Return one line's file, class and split.

        Raises:
            UsageError: It has no file or no class.
        """
        if max(self.file, self.label) < len(cells):
            file, label = _plain(cells[self.file]), _plain(cells[self.label]).strip()
            if file and label:
                split = cells[self.split].strip() if 0 <= self.split < len(cells) else ""
                return CsvRow(line, file, label, self.by_index, split)
        raise UsageError(broken_rule(where, "have a file and a class", "neither or one"))


def _find(names: list[str], wanted: tuple[str, ...], path: Path) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    rule = f"have a column named one of {', '.join(wanted)}"
    raise UsageError(broken_rule(str(path), rule, f"the columns {', '.join(names) or 'none'}"))


def protected_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula and that `read_csv_rows` gives back."""
    if text.startswith("'"):
        return f"'{text}"
    return f"'{text}" if harmless_cell(text).startswith("'") else text


def _plain(cell: str) -> str:
    """Return what `protected_cell` was given."""
    if cell.startswith("'") and cell[1:].startswith((*FORMULA_STARTS, "'")):
        return cell[1:]
    return cell
