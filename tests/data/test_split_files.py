from __future__ import annotations

import logging
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cnnkit.data import Dataset, LabeledFile, read_dataset
from cnnkit.data.labeled_csv import read_csv_rows
from cnnkit.data.split_files import _line, read_split_file, write_split_file
from cnnkit.errors import UsageError
from cnnkit.writers.row_files import FORMULA_STARTS, NUMBER, protected_cell


def dataset(names: list[str]) -> Dataset:
    files = tuple(LabeledFile(f"x/{n}", n, i % 2, None) for i, n in enumerate(names))
    return Dataset("x", "x", ("=cat", "dog's"), files)


def test_a_split_comes_back_whatever_the_names(tmp_path: Path) -> None:
    names = ["a/1.jpg", "=1+1.jpg", "'quoted.jpg", 'b,c"d.jpg', "caf\udce9.jpg", "ö\n.jpg"]
    splits = np.array([0, 1, 2, 0, 1, 0], np.int8)
    path = tmp_path / "split.csv"
    write_split_file(path, dataset(names), splits, hashes=["ab" * 32] * 6)
    assert read_split_file(path, dataset(names)).tolist() == splits.tolist()
    assert path.read_bytes().startswith(b"file,label,split,sha256\n")
    again = read_dataset(str(path), root="x")
    assert [f.name for f in again.files] == names
    assert [f.split for f in again.files] == ["train", "val", "test", "train", "val", "train"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_protected_cell_comes_back_and_starts_no_formula(tmp_path: Path, text: str) -> None:
    cell = protected_cell(text)
    assert not cell.startswith(FORMULA_STARTS) or NUMBER.fullmatch(cell)
    path = tmp_path / "one.csv"
    path.write_bytes(b"file,label\n" + _line([cell, "cat"]))
    assert [row.file for row in read_csv_rows(path)] == [text]


def test_images_that_are_gone_are_said_and_new_ones_refused(tmp_path: Path, caplog) -> None:
    path = tmp_path / "split.csv"
    write_split_file(path, dataset(["a", "b", "c", "d"]), np.array([0, 1, 0, 1]))
    with caplog.at_level(logging.WARNING, logger="cnnkit"):
        assert read_split_file(path, dataset(["a", "b", "c"])).tolist() == [0, 1, 0]
    assert "1 of its images are no longer" in caplog.text
    with pytest.raises(UsageError, match=r"none for e\. Omit `split_file`"):
        read_split_file(path, dataset(["a", "b", "e"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label,split\na,dog's,train\n", "'=cat' in the data"),
        ("file,label,split\na,'=cat,tarin\n", "line 2 must say train, val or test"),
        ("file,label\na,'=cat\n", "line 2 must say train, val or test"),
        ("file,label,split\na,'=cat,train\n", "into train and into val"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(tmp_path, text, message) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_split_file(path, dataset(["a"]))


def test_spaces_and_unicode_forms_do_not_break_a_split_file_of_ones_own(tmp_path: Path) -> None:
    for name in ("cat /1.jpg", "cat / 2.jpg", "cafe\u0301/1.jpg", "cafe\u0301/2 .jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    found = read_dataset(str(tmp_path))
    assert found.classes == ("caf\u00e9", "cat") and len(found.files) == 4
    path = tmp_path / "split.csv"
    write_split_file(path, found, np.array([0, 1, 0, 1]))
    assert read_split_file(path, found).tolist() == [0, 1, 0, 1]
    assert [f.path for f in read_dataset(str(path)).files] == [f.path for f in found.files]


def test_a_split_file_of_another_system_fits(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    text = "file;label;split\r\ncafe\u0301\\1.jpg;=cat ; Train\r\n;;\r\nb.jpg ;dog's;val\r\n"
    path.write_bytes(text.encode("utf-16"))
    files = dataset(["caf\u00e9/1.jpg", "b.jpg"])
    assert read_split_file(path, files).tolist() == [0, 1]
