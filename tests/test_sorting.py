"""Folders by class: safe names, nothing overwritten, nothing half done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import OutputError
from cnnkit.sorting import finish, folder_name, folder_names, free_place, put, with_end


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

    source.write_bytes(b"another image of the same name")
    finish(str(source), place, "move")
    assert source.exists(), "only what is surely there already may be removed"


def test_a_link_that_is_moved_leads_where_it_led(tmp_path):
    """A relative one led nowhere from the folder of its class."""
    (tmp_path / "photo.jpg").write_bytes(b"picture")
    (tmp_path / "in").mkdir()
    source, place = tmp_path / "in" / "a.jpg", tmp_path / "out" / "cat" / "a.jpg"
    for _ in range(2):
        source.symlink_to("../photo.jpg")
        finish(str(source), place, "move")  # the second time killed before the removal
        assert place.is_symlink() and place.read_bytes() == b"picture"
        assert not os.path.lexists(source) and (tmp_path / "photo.jpg").exists()
    source.symlink_to("../other.jpg")  # what it leads to is another image
    finish(str(source), place, "move")
    assert source.is_symlink()


def test_a_copy_killed_before_it_lost_its_first_name_leaves_one_file(tmp_path, monkeypatch):
    source, place = tmp_path / "a.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"image")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        put(str(source), place, "copy")
    assert len(list(place.parent.iterdir())) == 2
    finish(str(source), place, "copy")
    assert [file.name for file in place.parent.iterdir()] == ["a.jpg"] and source.exists()


def test_a_failure_names_the_file_and_the_folder(tmp_path):
    with pytest.raises(OutputError, match=r"missing\.jpg cannot be put into"):
        put(str(tmp_path / "missing.jpg"), tmp_path / "out" / "a.jpg", "copy")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("cat", "dog"), ("cat", "dog")),
        (("a/b", "a:b", "a-b"), ("a-b-0", "a-b-1", "a-b")),
        (("A", "a"), ("A", "a-1")),
        (("crane", "dog", "crane"), ("crane", "dog", "crane-2")),
        (("a", "a", "a-1"), ("a", "a-1-1", "a-1")),
        (("x" * 120 + "1", "x" * 120 + "2"), ("x" * 100, "x" * 98 + "-1")),
        (("می‌خواهم", "میخواهم"), ("می‌خواهم", "میخواهم")),
    ],
)
def test_every_class_has_a_folder_of_its_own(labels, names):
    assert folder_names(labels) == names


@given(st.lists(st.text("aA/:-12 \u00e4\U0001f431", max_size=60), max_size=12))
def test_no_two_classes_share_a_folder(labels):
    names = folder_names(labels)
    assert len({name.casefold() for name in names}) == len(labels)
    assert all(len(name.encode()) <= 100 and os.path.basename(name) == name for name in names)


@pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "é" * 125 + "a.jpg", "." + "y" * 254])
def test_a_name_as_long_as_the_file_system_takes_is_sorted(tmp_path, name):
    source = tmp_path / "in" / name
    source.parent.mkdir()
    source.write_bytes(b"picture")
    for _ in range(2):
        place = free_place(tmp_path / "out" / "cat", name)
        put(str(source), place, "copy")
        assert place.read_bytes() == b"picture" and place.suffix == source.suffix
    assert len(os.listdir(place.parent)) == 2


@pytest.mark.parametrize(
    ("name", "end", "room", "expected"),
    [
        ("a", ".png", 0, "a.png"),
        ("g" * 255, ".png", 0, "g" * 251 + ".png"),
        ("g" * 255, "-2.png", 10, "g" * 239 + "-2.png"),
        ("ä" * 127, ".png", 0, "ä" * 125 + ".png"),  # two bytes each
    ],
)
def test_a_name_with_an_end_is_cut_to_what_file_systems_take(name, end, room, expected):
    assert with_end(name, end, room=room) == expected


@pytest.mark.parametrize("kind", ["file", "file of another disk", "link"])
def test_what_cannot_be_removed_is_not_moved_and_said(tmp_path, monkeypatch, kind) -> None:
    """Of a folder that is not writable: "File exists" was said, and the image had two places."""
    source, place = tmp_path / "a.jpg", tmp_path / "cat" / "a.jpg"
    if kind == "link":
        (tmp_path / "b").write_bytes(b"content")
        source.symlink_to("b")
    else:
        source.write_bytes(b"content")
    real = os.unlink

    def refused(path, **more):
        if os.fspath(path) == str(source):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        real(path, **more)

    def other_disk(one, other, **more):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), one)

    monkeypatch.setattr(os, "unlink", refused)
    if kind == "file of another disk":
        monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(OutputError, match="Permission denied"):
        put(str(source), place, "move")
    assert source.read_bytes() == b"content" and not os.path.lexists(place)
