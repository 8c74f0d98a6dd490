"""Rows as files: JSON Lines, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import OutputError, UsageError
from cnnkit.writers.finished_rows import FinishedRows
from cnnkit.writers.row_files import (
    check_cells,
    csv_line,
    csv_lines,
    harmless_cell,
    json_line,
    plain_cell,
    write_rows,
)
from cnnkit.writers.row_tables import ClassificationTable, Column, FlatTable

OK = {
    "path": "a, b.jpg",
    "status": "ok",
    "label": "cat",
    "score": 0.75,
    "predictions": [
        {"class_id": 1, "label": "cat", "score": 0.75},
        {"class_id": 0, "label": 'a "dog"', "score": 0.25},
    ],
}
ERROR = {"path": "=1+1.jpg", "status": "error", "error": {"kind": "empty", "message": "0 bytes"}}


def test_csv_has_the_columns_of_the_documentation():
    assert ClassificationTable(3).header() == [
        *("path", "status", "label", "score", "error_kind", "error_message"),
        *("label_2", "score_2", "label_3", "score_3"),
    ]


def test_csv_rows_read_back(tmp_path):
    write_rows(tmp_path / "rows.csv", [OK, ERROR], ClassificationTable(3))
    with (tmp_path / "rows.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["path"], first["label"], first["score"]) == ("a, b.jpg", "cat", "0.750000")
    assert (first["label_2"], first["score_2"], first["label_3"]) == ('a "dog"', "0.250000", "")
    assert (second["path"], second["error_kind"]) == ("'=1+1.jpg", "empty")


ODD = st.text(st.sampled_from("'=+-@\t\r\n 1.e,\"a"), max_size=6)


@given(st.text(max_size=50) | ODD)
def test_no_cell_starts_a_formula_and_each_comes_back(text):
    cell = harmless_cell(text)
    assert not cell.startswith(("=", "+", "@", "\t", "\r"))
    assert not cell.startswith("-") or float(cell) <= 0
    assert plain_cell(cell) == text
    (read,) = csv.reader(io.StringIO(csv_line([cell, ""]), newline=""), skipinitialspace=True)
    assert read == [cell, ""]


def test_numbers_below_zero_stay_numbers():
    """Of `search` and `explain`: they were texts with an apostrophe for whoever read the column."""
    table = FlatTable([Column("score", "number", lambda row: row["score"])])
    row = {"path": "-a.jpg", "status": "ok", "score": -0.25}
    assert csv_lines(row, table) == "'-a.jpg,ok,-0.250000,,\n"
    assert [harmless_cell(text) for text in ("-1e-05", "-1+1", "+1", "-")] == [
        *("-1e-05", "'-1+1", "'+1", "'-")
    ]


def test_a_finished_csv_tells_names_apart_that_look_alike(tmp_path):
    """`=q.jpg` and `'=q.jpg` were one cell: a run that resumed took the other for done."""
    names = ["=q.jpg", "'=q.jpg", "''=q.jpg", "'q.jpg", " q.jpg", "q.jpg", "-5", "'-5"]
    for name in names:
        write_rows(tmp_path / "rows.csv", [OK | {"path": name}], ClassificationTable(1))
        finished = FinishedRows(tmp_path / "rows.csv")
        assert [one for one in names if finished.holds(one)] == [name]


def test_a_finished_csv_of_a_former_version_is_read(tmp_path):
    cells = ["'=q.jpg", "'q.jpg", "'-5"]
    lines = ["path,status", *(f"{cell},ok" for cell in cells)]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    finished = FinishedRows(tmp_path / "rows.csv")
    assert finished.statuses["ok"] == 3
    assert all(map(finished.holds, ["=q.jpg", "'q.jpg", "-5"]))
    assert not finished.holds("'=q.jpg")


@given(st.dictionaries(st.sampled_from(["path", "label"]), st.text(max_size=50)))
def test_a_json_line_is_one_line_and_reads_back(row):
    line = json_line(row)
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == row


def test_a_finished_csv_with_long_cells_is_read(tmp_path):
    """Of a search for thousands of matches: `csv` takes 128 KiB, and the run was not resumed."""
    table = FlatTable([Column("others", "text", lambda row: row["others"])])
    row = {"path": "a.jpg", "status": "ok", "others": "x" * 200_000}
    write_rows(tmp_path / "rows.csv", [row, row | {"path": "b.jpg"}], table)
    before = csv.field_size_limit()
    finished = FinishedRows(tmp_path / "rows.csv")
    assert finished.holds("a.jpg") and finished.holds("b.jpg") and not finished.holds("c.jpg")
    assert csv.field_size_limit() == before


def test_a_newline_in_a_name_stays_inside_its_cell():
    for name in ("a\nb.jpg", "a\rb.jpg", "a\r\nb.jpg"):
        line = csv_lines(OK | {"path": name}, ClassificationTable(1))
        (read,) = csv.reader(io.StringIO(line, newline=""))
        assert read[0] == name


def test_parquet_reads_back(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "rows.parquet", [OK, ERROR], ClassificationTable())
    first, second = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert first["predictions"][1] == {"class_id": 0, "label": 'a "dog"', "score": 0.25}
    assert (second["status"], second["error_kind"], second["label"]) == ("error", "empty", None)


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv, \.parquet"):
        write_rows(tmp_path / "rows.xlsx", [], ClassificationTable())


def test_a_failing_source_of_rows_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "rows.jsonl"
    target.write_text("old")

    def rows():
        yield OK
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_rows(target, rows(), ClassificationTable())
    assert os.listdir(tmp_path) == ["rows.jsonl"]
    assert target.read_text() == "old"


BOXES = FlatTable(
    (
        Column("label", "text", lambda row: row.get("label")),
        Column("left", "integer", lambda row: row["box"][0] if "box" in row else None),
        Column("score", "number", lambda row: row.get("score")),
    )
)


def test_a_flat_table_has_the_columns_of_its_own(tmp_path):
    write_rows(tmp_path / "rows.csv", [OK | {"box": [3, 4, 5, 6]}, ERROR], BOXES)
    with (tmp_path / "rows.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [
        *("path", "status", "label", "left", "score"),
        *("error_kind", "error_message"),
    ]
    assert (first["label"], first["left"], first["score"]) == ("cat", "3", "0.750000")
    assert (second["left"], second["error_kind"]) == ("", "empty")


def test_a_flat_table_as_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "rows.parquet", [OK | {"box": [3, 4, 5, 6]}, ERROR], BOXES)
    first, second = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert (first["left"], first["score"], first["error_kind"]) == (3, 0.75, None)
    assert (second["left"], second["error_kind"]) == (None, "empty")


@pytest.mark.parametrize("broken", [{"label": 3}, {"score": "high"}, {"predictions": [{}, {}]}])
def test_a_row_is_checked_as_it_would_be_written(broken):
    check_cells(OK, ClassificationTable(3))
    with pytest.raises((TypeError, ValueError, KeyError)):
        check_cells(OK | broken, ClassificationTable(3))
