"""Reads the CSV dialects that common programs write, one record at a time.

Excel writes semicolons where the comma is the decimal mark, tabs and UTF-16 for "Unicode text",
and sometimes ``sep=;`` as the first line; pandas and databases write UTF-8. The caller interprets
the columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from cnnkit.errors import UsageError, broken_rule
from cnnkit.storage.places import is_url

SEPARATORS = (",", ";", "\t")
MAX_LINE = 1 << 20
_PROBE = 16
# Passed to the reader after the last line; an unclosed quotation swallows it.
_END = "\ue000end of the file\ue000"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class CsvRecord(NamedTuple):
    """One record.

    Attributes:
        line: The number of its last line in the file, from 1.
        cells: As written, including white space.
    """

    line: int
    cells: list[str]


class CsvTable(NamedTuple):
    """A CSV with a header.

    Attributes:
        names: Names of the columns, in lower case, without white space around them.
        records: The rows below; empty ones are omitted.
        separator: The separator between cells.
    """

    names: tuple[str, ...]
    records: Iterator[CsvRecord]
    separator: str

    def columns(self) -> str:
        """Return the columns for a message, with the separator if it is not a comma."""
        named = f"the columns {', '.join(self.names) or 'none'}"
        return named if self.separator == "," else f"{named}, separated by {self.separator!r}"


def read_csv_table(path: Path, known: Collection[str]) -> CsvTable:
    """Open a CSV and read its header; the records are read as they are requested.

    Args:
        path: UTF-8, with or without a byte order mark, or UTF-16; invalid UTF-8 is kept as
            surrogate escapes, because it may be file names.
        known: Names of columns that determine the separator: comma, semicolon or tab,
            whichever finds most of them.

    Raises:
        UsageError: The file cannot be read, is not a CSV, or has two known columns of one name;
            also raised while records are read, for one with more cells than the header.
    """
    records = _records(path, known)
    separator = next(records).cells[0]
    names = tuple(name.strip().lower() for name in next(records).cells)
    twice = next((name for name in names if name in known and names.count(name) > 1), None)
    if twice is not None:
        received = f"{names.count(twice)} columns {twice}"
        raise UsageError(broken_rule(str(path), "have each column once", received))
    return CsvTable(names, _as_wide(records, len(names), separator, path), separator)


def _as_wide(
    records: Iterator[CsvRecord], width: int, separator: str, path: Path
) -> Iterator[CsvRecord]:
    """Yield records, none with more cells than the header: its cells would be other columns'.

    A name with a separator that is not quoted, and R's row names, which have no column, do this.
    """
    for record in records:
        if any(cell.strip() for cell in record.cells[width:]):
            rule = "have no more cells than the header"
            received = f"{len(record.cells)} where the header has {width}"
            fix = f"Put names with {separator!r} in quotation marks."
            raise UsageError(broken_rule(f"{path}, line {record.line}", rule, received, fix))
        yield record


def open_text(path: Path) -> TextIO:
    """Open a text file in the encoding that its first bytes show, without newline translation.

    Raises:
        OSError: It cannot be opened.
        UsageError: It is a spreadsheet, not a CSV.
    """
    with path.open("rb") as file:
        start = file.read(_PROBE)
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        fix = "Save it as 'CSV UTF-8' in the program that wrote it."
        raise UsageError(broken_rule(str(path), "be a text file", "a workbook or archive", fix))
    encoding = _encoding(start)
    # UTF-16 has no surrogate escapes.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return path.open(encoding=encoding, errors=errors, newline="")


def _encoding(start: bytes) -> str:
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    # UTF-16 without a mark: every other byte of an ASCII header is zero.
    even, odd = start[:16:2], start[1:16:2]
    if odd and not any(odd) and all(even):
        return "utf-16-le"
    if odd and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8"


def text_lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield a file's lines, none longer than `MAX_LINE`.

    Raises:
        UsageError: A line is longer.
    """
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            rule = f"have lines of less than {MAX_LINE:,} characters"
            raise UsageError(broken_rule(str(path), rule, "a longer one"))
        yield line


def _records(path: Path, known: Collection[str]) -> Iterator[CsvRecord]:
    """Yield a record with only the separator, the header, and the rows."""
    try:
        with open_text(path) as file:
            separator, skipped, first = _header_line(text_lines(file, path), known)
            yield CsvRecord(0, [separator])
            lines = _with_end(first, text_lines(file, path))
            yield from _parsed(lines, separator, skipped, path)
    except UnicodeError as error:
        received = getattr(error, "reason", error)
        raise UsageError(broken_rule(str(path), "be UTF-8 or UTF-16 text", received)) from error
    except csv.Error as error:
        raise UsageError(broken_rule(str(path), "be a CSV", error)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _parsed(lines: Iterator[str], separator: str, skipped: int, path: Path) -> Iterator[CsvRecord]:
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for number, cells in enumerate(reader):
        ends = bool(cells) and cells[-1].endswith(_END)
        if ends and cells != [_END]:
            rule = "be a CSV whose quotation marks are closed"
            raise UsageError(broken_rule(str(path), rule, "one that is open at the end"))
        if not ends and (number == 0 or any(cell.strip() for cell in cells)):
            yield CsvRecord(reader.line_num + skipped, cells)


def _with_end(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines
    yield _END


def _header_line(lines: Iterator[str], known: Collection[str]) -> tuple[str, int, str]:
    """Return the separator, the number of lines above the header, and its first line."""
    skipped = 0
    for line in lines:
        text = line.strip("\ufeff \r\n")
        declared = text.lower().startswith("sep=") and text[4:] in SEPARATORS
        if declared:
            return text[4:], skipped + 1, next(lines, "")
        if text.strip(" ,;\t"):
            return _separator(line, known), skipped, line.lstrip("\ufeff")
        skipped += 1
    return ",", skipped, ""


def _separator(line: str, known: Collection[str]) -> str:
    def fits(separator: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(line), delimiter=separator, skipinitialspace=True)
        cells = next(reader, [])
        return sum(cell.strip().lower() in known for cell in cells), len(cells)

    return max(SEPARATORS, key=fits)  # the first one in a tie


def readings(file: str) -> list[str]:
    """Return the possible paths of a cell, the literal one first.

    Cells may have spaces around them, and Windows separates folders by backslashes.
    """
    forms = [file, file.strip() or file]
    if os.sep == "/":
        forms += [form.replace("\\", "/") for form in forms]
    return list(dict.fromkeys(forms))


def found_under(root: str | Path, file: str) -> str:
    """Return the path of a CSV's image: the first possible path that exists, else the cell.

    Args:
        root: The folder that the CSV's files are relative to; URLs are not.
        file: The cell.
    """
    if is_url(file):
        return file
    forms = readings(file)
    if len(forms) > 1:
        found = (form for form in forms if os.path.lexists(os.path.join(root, form)))
        return os.path.join(root, next(found, file.strip() or file))
    return os.path.join(root, file)
