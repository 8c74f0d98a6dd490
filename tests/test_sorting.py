"""Folders by class: safe names, nothing overwritten, nothing half done."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import OutputError
from cnnkit.sorting import finish, folder_name, free_place, put


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Egyptian cat", "Egyptian cat"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ("a/b\\c:d", "a-b-c-d"),
        ("_errors", "errors"),
        (".hidden", "hidden"),
        ("nul", "nul-"),
        ("COM1.txt", "COM1.txt-"),
        ("tail. ", "tail"),
        ("\x1b[31mred", "[31mred"),
    ],
)
def test_known_labels(label, name):
    assert folder_name(label) == name


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_label_gives_one_plain_folder(label):
    name = folder_name(label)
    assert name and len(name.encode()) <= 110
    assert os.path.basename(name) == name and name not in (".", "..")
    assert not name.startswith((".", "_")) and not name.endswith((".", " "))
    assert name == folder_name(label)


def test_a_name_that_exists_gets_a_number(tmp_path):
    for expected in ("a.jpg", "a-2.jpg", "a-3.jpg"):
        place = free_place(tmp_path, "a.jpg")
        assert place.name == expected
        place.write_bytes(b"")


@pytest.mark.parametrize("how", ["copy", "link", "move"])
def test_put(tmp_path, how):
    source = tmp_path / "in" / "a.jpg"
    source.parent.mkdir()
    source.write_bytes(b"picture")
    place = tmp_path / "out" / "cat" / "a.jpg"
    put(str(source), place, how)
    assert place.read_bytes() == b"picture"
    assert place.is_symlink() == (how == "link")
    assert source.exists() == (how != "move")
    assert os.listdir(place.parent) == ["a.jpg"]


def test_a_half_done_move_is_finished(tmp_path):
    source, place = tmp_path / "a.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"picture")
    finish(str(source), place, "move")  # killed between the row and the move
    assert place.read_bytes() == b"picture" and not source.exists()

    source.write_bytes(b"picture")
    finish(str(source), place, "move")  # killed between the copy and the removal
    assert not source.exists()

    source.write_bytes(b"another picture of the same name")
    finish(str(source), place, "move")
    assert source.exists(), "only what is surely there already may be removed"


def test_a_failure_names_the_file_and_the_folder(tmp_path):
    with pytest.raises(OutputError, match=r"missing\.jpg cannot be put into"):
        put(str(tmp_path / "missing.jpg"), tmp_path / "out" / "a.jpg", "copy")
