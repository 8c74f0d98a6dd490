"""Which class of the model a folder's name or a CSV's cell means, and which split is measured."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from cnnkit.classification.labeled import read_labeled
from cnnkit.errors import UsageError


def put(folder: Path, *names: str) -> str:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.new("RGB", (8, 8)).save(path)
        else:
            path.write_text("text")
    return str(folder)


def truths(data: str, labels: tuple[str, ...], **chosen) -> dict[str, int]:
    found = read_labeled(data, labels, chosen.pop("root", None), **chosen)
    return {str(Path(one.path).relative_to(Path(data).parent)): one.truth for one in found}


def test_classes_that_differ_in_case_are_two(tmp_path):
    data = put(tmp_path / "d", "A/1.png", "a/2.png")
    assert truths(data, ("A", "a")) == {"d/A/1.png": 0, "d/a/2.png": 1}
    assert truths(data, ("a", "A")) == {"d/A/1.png": 1, "d/a/2.png": 0}


def test_case_does_not_matter_where_one_class_only_fits(tmp_path):
    data = put(tmp_path / "d", "Cat/1.png")
    assert truths(data, ("dog", "cat")) == {"d/Cat/1.png": 1}
    with pytest.raises(UsageError, match=r"name one class.*'CAT' \(class 0\), 'cat' \(class 1\)"):
        read_labeled(data, ("CAT", "cat"), None)


def test_equal_labels_go_by_number_or_by_the_name_of_their_sorted_folder(tmp_path):
    labels = ("crane", "dog", "crane")
    with pytest.raises(UsageError, match="same name: give the index"):
        read_labeled(put(tmp_path / "d", "crane/1.png"), labels, None)
    assert truths(put(tmp_path / "e", "2/1.png"), labels) == {"e/2/1.png": 2}
    assert truths(put(tmp_path / "f", "crane-2/1.png"), labels) == {"f/crane-2/1.png": 2}


@pytest.mark.parametrize(
    ("labels", "folder"),
    [(("1", "2", "3"), "0"), (("01", "02", "03"), "1"), (("cat", "7"), "0"), (("cat",), "1")],
)
def test_a_number_is_no_index_beside_labels_that_are_numbers(tmp_path, labels, folder):
    with pytest.raises(UsageError, match="must name a class of the model"):
        read_labeled(put(tmp_path, f"{folder}/1.png"), labels, None)


def test_a_number_is_an_index_where_no_label_looks_like_one(tmp_path, caplog):
    data = put(tmp_path / "d", "0/1.png", "1/1.png")
    with caplog.at_level(logging.WARNING, "cnnkit"):
        assert truths(data, ("cat", "dog")) == {"d/0/1.png": 0, "d/1/1.png": 1}
    assert caplog.messages == [
        f"{data}: numbers are taken for the model's classes, counted from 0: 0 is 'cat', "
        "1 is 'dog'."
    ]
    caplog.clear()
    digits = tuple("9876543210")
    assert truths(data, digits) == {"d/0/1.png": 9, "d/1/1.png": 8}
    whole = put(tmp_path / "e", "0.0/1.png", "1.0/1.png")
    assert truths(whole, digits) == {"e/0.0/1.png": 9, "e/1.0/1.png": 8}
    assert caplog.messages == []


def test_a_column_of_indices_is_one_whatever_the_labels(tmp_path):
    put(tmp_path, "a.png")
    table = tmp_path / "set.csv"
    for cell in ("1", "1.0"):
        table.write_text(f"file,class_index\na.png,{cell}\n")
        assert read_labeled(str(table), ("1", "2"), None)[0].truth == 1
    table.write_text("file,class_index\na.png,2\n")
    with pytest.raises(UsageError, match=r"index of a class, 0 to 1"):
        read_labeled(str(table), ("1", "2"), None)
    table.write_text("file,label\na.png,1.0\n")
    assert read_labeled(str(table), ("1", "2"), None)[0].truth == 0


def test_unicode_forms_are_one_name(tmp_path):
    data = put(tmp_path / "d", "cafe\u0301/1.png")
    assert truths(data, ("tea", "caf\u00e9")) == {"d/cafe\u0301/1.png": 1}
    assert truths(data, ("tea", "cafe\u0301")) == {"d/cafe\u0301/1.png": 1}


def test_leftovers_of_archives_and_empty_folders_are_no_classes(tmp_path):
    put(tmp_path, "cat/1.png", "__MACOSX/cat/._1.png", ".DS_Store", "cat/.DS_Store")
    put(tmp_path, "@eaDir/x.png", "Thumbs.db")
    (tmp_path / "dog").mkdir()
    (tmp_path / "no class of the model").mkdir()
    assert [one.truth for one in read_labeled(str(tmp_path), ("dog", "cat"), None)] == [1]


@pytest.fixture
def splits(tmp_path) -> str:
    names = ("training_set/cat/1.png", "test_set/cat/2.png", "Validation Set/dog/3.png")
    return put(tmp_path / "d", *names)


def test_what_was_trained_on_is_left_out_and_said(splits, caplog):
    with caplog.at_level(logging.INFO, logger="cnnkit"):
        found = truths(splits, ("cat", "dog"))
    assert found == {"d/Validation Set/dog/3.png": 1, "d/test_set/cat/2.png": 0}
    assert "measured on val, test, without 1 image of train" in caplog.text


@pytest.mark.parametrize(("split", "number"), [("train", 1), ("test", 2), ("VALID", 3)])
def test_a_split_of_ones_choice(splits, split, number):
    (found,) = read_labeled(splits, ("cat", "dog"), None, split)
    assert found.path.endswith(f"{number}.png")


def test_a_split_column_is_heeded(tmp_path):
    table = tmp_path / "split.csv"
    table.write_text("file,label,split\na.png,cat,train\nb.png,cat,val\nc.png,cat,\n")
    found = read_labeled(str(table), ("cat",), None)
    assert [Path(one.path).name for one in found] == ["b.png", "c.png"]
    with pytest.raises(UsageError, match=r"`split` must name a split of .*It has train, val\."):
        read_labeled(str(table), ("cat",), None, "test")
    with pytest.raises(UsageError, match="`split` must be one of train, val, test"):
        read_labeled(str(table), ("cat",), None, "trian")
    table.write_text("file,label,split\na.png,cat,train\n")
    with pytest.raises(UsageError, match=r"not for training.*`split='train'`"):
        read_labeled(str(table), ("cat",), None)
    assert len(read_labeled(str(table), ("cat",), None, "train")) == 1
