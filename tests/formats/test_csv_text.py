"""CSV text in the forms that people's programs write gives the same cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnkit.errors import UsageError
from cnnkit.formats.csv_text import read_csv_table

PLAIN = "file,label\na.jpg,Käse\nb.jpg,猫\n"
ROWS = [["a.jpg", "Käse"], ["b.jpg", "猫"]]


def table(tmp_path: Path, content: bytes):
    path = tmp_path / "set.csv"
    path.write_bytes(content)
    return read_csv_table(path, ("file", "label"))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_separator_and_line_end(tmp_path, encoding, separator, end):
    text = PLAIN.replace(",", separator).replace("\n", end)
    found = table(tmp_path, text.encode(encoding))
    assert found.names == ("file", "label") and found.separator == separator
    assert [record.cells for record in found.records] == ROWS


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sep=;\r\nfile;label\r\na.jpg;cat\r\n", [(3, ["a.jpg", "cat"])]),
        ("\n\n File , Label \na.jpg,cat\n", [(4, ["a.jpg", "cat"])]),
        (
            "file,label\na.jpg,cat\n,\n \n\n;\t,\nb.jpg,dog",
            [(2, ["a.jpg", "cat"]), (6, [";\t", ""]), (7, ["b.jpg", "dog"])],
        ),
        (
            'file,label\n"a.jpg" ,cat\nb.jpg, "big, red"\n',
            [(2, ["a.jpg ", "cat"]), (3, ["b.jpg", "big, red"])],
        ),
        (
            'file,label\n5" disk.jpg,cat\n"a\nb.jpg",dog\n',
            [(2, ['5" disk.jpg', "cat"]), (4, ["a\nb.jpg", "dog"])],
        ),
        ("file;label, or class;label\na;b;c\n", [(2, ["a", "b", "c"])]),
        ("file,label\n", []),
        ("file,label", []),
    ],
)
def test_what_programs_and_people_leave_in_them(tmp_path, text, rows):
    found = table(tmp_path, text.encode())
    assert found.names[:1] == ("file",)
    assert [tuple(record) for record in found.records] == rows


@pytest.mark.parametrize("content", [b"", b"\n\n", "\ufeff".encode(), "\ufeff".encode("utf-16")])
def test_an_empty_file_has_no_columns(tmp_path, content):
    found = table(tmp_path, content)
    assert "".join(found.names) == "" and list(found.records) == []


def test_bytes_that_are_no_utf_8_stay_as_file_names(tmp_path):
    (record,) = table(tmp_path, b"file,label\ncaf\xe9.jpg,cat\n").records
    assert record.cells == ["caf\udce9.jpg", "cat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'file,label\n"a.jpg,cat\n', "quotation marks are closed"),
        (b'"file,label\na.jpg,cat\n', "quotation marks are closed"),
        (b"PK\x03\x04" + bytes(99), "workbook or archive.*CSV UTF-8"),
        ("file,label\na,b\n".encode("utf-16") + b"\x00", "UTF-8 or UTF-16"),
        (b"file,label\n" + b"x" * (1 << 20), "lines of less than"),
        (b'file,label\n"' + b"x\n" * (1 << 17) + b'",b\n', "must be a CSV"),
        (b"file,label\na.jpg,cat\nb, 1.jpg,cat\n", "line 3 must have no more cells .* 3 where"),
        (b'file,label\n"1","a.jpg","cat"\n', "line 2 must have no more cells"),  # R's row names
        (b"label,file,Label\ncat,a.jpg,dog\n", "each column once. Received: 2 columns label"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        list(table(tmp_path, content).records)


def test_empty_cells_behind_the_last_column_and_equal_unknown_names_are_taken(tmp_path):
    found = table(tmp_path, b"file,label,note,note\na.jpg,cat,,,, ,\n")
    assert [record.cells[:2] for record in found.records] == [["a.jpg", "cat"]]
