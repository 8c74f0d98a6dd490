"""Forgetting leaves no byte of a person, in the file or beside it."""

from __future__ import annotations

import os
import sqlite3

import pytest

from cnnkit.errors import UsageError
from cnnkit.faces.gallery import GalleryFile
from tests.faces.gallery.people import SETTINGS, make, photo, secret, vector


def everything(folder) -> bytes:
    """Return the bytes of every file in a folder."""
    return b"".join((folder / name).read_bytes() for name in sorted(os.listdir(folder)))


def traces(person: int, photos: int) -> list[bytes]:
    """Return what a plain gallery holds of a person: name, paths, and parts of the vectors."""
    found = [f"person-{person}".encode()]
    for number in range(photos):
        whole = vector(person, number).tobytes()
        found += [whole[start : start + 16] for start in range(0, len(whole), 16)]
    return found


def test_no_bytes_are_left(tmp_path):
    path = make(tmp_path / "g", 30, 4)
    assert all(trace in everything(tmp_path) for trace in traces(7, 4))
    with GalleryFile.open(path) as gallery:
        assert gallery.forget(["person-7", "person-29", "person-7"]) == {
            "person-7": 4,
            "person-29": 4,
        }
        # Still open: nothing waits in a journal for the end.
        left = everything(tmp_path)
    assert os.listdir(tmp_path) == ["g"]
    assert not [trace for trace in traces(7, 4) + traces(29, 4) if trace in left]
    assert all(trace in left for trace in traces(8, 4))
    with GalleryFile.open(path) as gallery:
        assert len(gallery.people()) == 28
        assert gallery.index().nearest(vector(8, 1), 1)[0].distance == 0


def test_no_sealed_bytes_are_left_either(tmp_path):
    path = make(tmp_path / "g", 10, 3, secret())
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT vector, path, content FROM photo WHERE person = 4").fetchall()
    rows += connection.execute("SELECT name, token FROM person WHERE id = 4").fetchall()
    connection.close()
    sealed = [value for row in rows for value in row]
    assert all(value in everything(tmp_path) for value in sealed)
    with GalleryFile.open(path, secret()) as gallery:
        assert list(gallery.people())[3] == "person-3"
        gallery.forget(["person-3"])
    left = everything(tmp_path)
    assert not [value for value in sealed if value in left or value[:16] in left]


def test_a_moved_photo_leaves_no_bytes_of_the_old_name(tmp_path):
    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        gallery.add([photo("Wrong Name", 0)])
        gallery.add([photo("Right Name", 0)], move=True)
    assert b"Wrong Name" not in everything(tmp_path)


def test_nobody_is_forgotten_where_a_name_is_wrong(tmp_path):
    with GalleryFile.open(make(tmp_path / "g")) as gallery:
        with pytest.raises(UsageError, match="Did you mean 'person-1'"):
            gallery.forget(["person-0", "persn-1"])
        assert len(gallery.people()) == 3


def test_the_last_one_may_be_forgotten(tmp_path):
    path = make(tmp_path / "g", 1, 1)
    with GalleryFile.open(path) as gallery:
        gallery.forget(["person-0"])
        assert gallery.people() == {}
        assert gallery.index().nearest(vector(0), 1) == []
        assert gallery.add([photo("person-0", 0, 0)]) == ["added"]


def test_a_killed_forget_keeps_the_person_or_removes_all_of_them(tmp_path):
    last = 0
    while True:
        folder = tmp_path / str(last)
        folder.mkdir()
        path = make(folder / "g", 3, 2)
        child = os.fork()
        if child == 0:
            _forget_and_die(path, last)
        _, status = os.waitpid(child, 0)
        with GalleryFile.open(path) as gallery:
            count = gallery.people().get("person-1", 0)
            assert count in (0, 2)
            if count:
                gallery.forget(["person-1"])
        assert not [trace for trace in traces(1, 2) if trace in everything(folder)]
        if os.waitstatus_to_exitcode(status) == 0:
            break
        last += 1
    assert last > 3


def _forget_and_die(path, last):
    gallery = GalleryFile.open(path)
    count = 0

    def trace(statement):
        nonlocal count
        if count == last:
            os._exit(9)
        count += 1

    gallery._connection.set_trace_callback(trace)
    gallery.forget(["person-1"])
    os._exit(0)


# === One photo ===


def test_one_photo_goes_and_the_others_stay(tmp_path):
    path = make(tmp_path / "g", 3, 3)
    gone, kept = vector(1, 2).tobytes(), vector(1, 1).tobytes()
    assert gone in everything(tmp_path)
    with GalleryFile.open(path) as gallery:
        [number] = [one.number for one in gallery.photos() if one.path == "person-1/2.jpg"]
        gallery.forget_photos([number, number])
        left = everything(tmp_path)
        assert gallery.people() == {"person-0": 3, "person-1": 2, "person-2": 3}
        with pytest.raises(UsageError, match="a photo's number must be one of a photo in"):
            gallery.forget_photos([1, 999])
        assert len(gallery.photos()) == 8  # all or nothing
    assert gone[:16] not in left and kept in left
    assert b"person-1/2.jpg" not in left and b"person-1/1.jpg" in left
    assert os.listdir(tmp_path) == ["g"]


def test_who_has_no_photo_left_is_forgotten(tmp_path):
    with GalleryFile.open(make(tmp_path / "g", 2, 1)) as gallery:
        gallery.forget_photos([2])
        assert gallery.people() == {"person-0": 1}
    assert b"person-1" not in everything(tmp_path)


# === Another name ===


@pytest.mark.parametrize("sealed", [False, True])
def test_renaming(tmp_path, sealed):
    word = secret() if sealed else None
    path = make(tmp_path / "g", 3, 2, word)
    with GalleryFile.open(path, word) as gallery:
        before = gallery.index().vectors
        assert gallery.rename(" person-1 ", "Zoe\u0308 \u0645\u06cc\u200c\u062e") == 2
        assert os.listdir(tmp_path) == ["g"]
    assert b"person-1" not in everything(tmp_path)
    with GalleryFile.open(path, word) as gallery:
        assert gallery.people() == {
            "Zo\xeb \u0645\u06cc\u200c\u062e": 2,
            "person-0": 2,
            "person-2": 2,
        }
        index = gallery.index()
        assert index.nearest(vector(1, 0), 1)[0].person.startswith("Zo\xeb")
        assert sorted(map(bytes, index.vectors)) == sorted(map(bytes, before))
        places = [one.path for one in gallery.photos() if one.person.startswith("Zo\xeb")]
        assert places == [f"Zo\xeb \u0645\u06cc\u200c\u062e/{n}.jpg" for n in range(2)]
        assert gallery.add([photo("person-1", 1, 0)]) == [f"elsewhere:{index.people[0]}"]


@pytest.mark.parametrize("sealed", [False, True])
def test_renaming_to_somebody_who_is_there(tmp_path, sealed):
    word = secret() if sealed else None
    path = make(tmp_path / "g", 3, 2, word)
    with GalleryFile.open(path, word) as gallery:
        with pytest.raises(UsageError, match="`merge=True` makes both one person"):
            gallery.rename("person-1", "person-0")
        assert len(gallery.people()) == 3
        assert gallery.rename("person-1", "person-0", merge=True) == 4
        assert gallery.people() == {"person-0": 4, "person-2": 2}
        assert gallery.index().nearest(vector(1, 1), 1)[0].person == "person-0"
    assert b"person-1" not in everything(tmp_path)


def test_renaming_needs_names(tmp_path):
    with GalleryFile.open(make(tmp_path / "g")) as gallery:
        with pytest.raises(UsageError, match="Did you mean 'person-1'"):
            gallery.rename("persn-1", "Ann")
        with pytest.raises(UsageError, match="not be 'unknown'"):
            gallery.rename("person-1", "Unknown")
        with pytest.raises(UsageError, match="turns the direction"):
            gallery.rename("person-1", "nnA\u202e")
        assert gallery.rename("person-1", "person-1") == 2
        assert len(gallery.people()) == 3
