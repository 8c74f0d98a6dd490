"""Rows as JSON Lines, CSV and Parquet; written beside the target and renamed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_tables import RowTable

ROW_SUFFIXES = (".jsonl", ".csv", ".parquet")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# A number below zero is no formula: programs that read the column want it as it is.
NUMBER = re.compile(r"-\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
PARQUET_ROW_GROUP = 10_000
# Some readers end a line at these characters, which JSON allows within strings.
LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}


def json_line(row: dict[str, Any]) -> str:
    """Return a row as one line of JSON, with non-ASCII characters unescaped if possible."""
    text = json.dumps(row, ensure_ascii=False, separators=(", ", ": "))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # an undecodable name: escapes keep it exact
        text = json.dumps(row)
    return text.translate(LINE_ENDS) + "\n"


def csv_lines(row: dict[str, Any], table: RowTable) -> str:
    """Return a row as one or more lines of CSV, without cells that start a formula."""
    return "".join(
        csv_line([harmless_cell(cell) for cell in cells]) for cells in _lines(row, table)
    )


def check_cells(row: dict[str, Any], table: RowTable) -> None:
    """Refuse a row that `csv_lines` cannot write, in a third of its time.

    Raises:
        TypeError: A cell is no text; or whatever else the table raises where something is missing.
    """
    for cells in _lines(row, table):
        "".join(cells)


def _lines(row: dict[str, Any], table: RowTable) -> list[list[str]]:
    several = getattr(table, "lines", None)
    return several(row) if several is not None else [table.cells(row)]


def harmless_cell(cell: str) -> str:
    """Return a cell that no spreadsheet reads as a formula and that UTF-8 can encode.

    `plain_cell` undoes it.
    """
    return protected_cell(encodable(cell))


def protected_cell(cell: str) -> str:
    """Return a cell that no spreadsheet reads as a formula; `plain_cell` undoes it."""
    if not cell.startswith((*FORMULA_STARTS, "'")) or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def plain_cell(cell: str) -> str:
    """Undo `protected_cell`, also of former versions, which protected no leading apostrophe."""
    if cell.startswith("'") and cell[1:].startswith((*FORMULA_STARTS, "'")):
        return cell[1:]
    return cell


def csv_line(cells: list[str]) -> str:
    """Return cells as one line of CSV (RFC 4180 quoting, a plain newline)."""
    line = io.StringIO()
    # Many readers take space before a cell for no part of it, unless it is quoted.
    spaced = any(cell[:1].isspace() for cell in cells)
    # Characters of the line terminator are quoted in cells: a name may contain a bare \r.
    csv.writer(
        line, lineterminator="\r\n", quoting=csv.QUOTE_ALL if spaced else csv.QUOTE_MINIMAL
    ).writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def write_rows(path: Path, rows: Iterable[dict[str, Any]], table: RowTable) -> None:
    """Write the finished file in the format of its suffix, atomically.

    Args:
        path: The file.
        rows: Rows returned by `cnnkit.results.make_row`.
        table: The columns of CSV and Parquet.

    Raises:
        OutputError: The output cannot be written.
        UsageError: The suffix is unknown, or its library is not installed.
    """
    suffix = check_row_suffix(path)
    if suffix == ".parquet":
        _write_parquet(path, rows, table)
        return
    with replacing(path) as file:
        if suffix == ".csv":
            file.write(csv_line(table.header()).encode())
        for row in rows:
            line = csv_lines(row, table) if suffix == ".csv" else json_line(row)
            file.write(line.encode())


def check_row_suffix(path: Path) -> str:
    """Return the suffix of a file for rows.

    Raises:
        UsageError: It is not one of `ROW_SUFFIXES`, or pyarrow is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in ROW_SUFFIXES:
        raise UsageError(broken_rule("`output`", f"end in one of {', '.join(ROW_SUFFIXES)}", path))
    if suffix == ".parquet":
        import_pyarrow()
    return suffix


def import_pyarrow() -> Any:
    """Import pyarrow, an optional dependency.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "A .parquet file needs pyarrow. Install it with: pip install 'cnnkit[parquet]'."
        ) from error
    return pyarrow


def batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the rows in lists of at most `size`."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]], table: RowTable) -> None:
    pyarrow = import_pyarrow()
    schema = table.schema(pyarrow)
    with replacing(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for batch in batched(rows, PARQUET_ROW_GROUP):
            flat = [_encodable_texts(table.flat(row)) for row in batch]
            writer.write_table(pyarrow.Table.from_pylist(flat, schema=schema))


def _encodable_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {k: encodable(v) if isinstance(v, str) else v for k, v in row.items()}


def encodable(text: str) -> str:
    """Return a text as UTF-8 can hold it: undecodable bytes as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
