"""What threads see of a gallery while it is changed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnnkit.faces.gallery import GalleryFile
from cnnkit.faces.gallery.shared import SharedPeople
from cnnkit.faces.gallery.store import NewGalleryFile
from tests.faces.gallery.people import SETTINGS, make, photo


def test_what_is_read_beside_a_change_is_not_kept_after_it(tmp_path: Path) -> None:
    """Who was forgotten would be recognized until the next change."""
    with GalleryFile.open(make(tmp_path / "g", people=2, photos=1)) as file:
        people = SharedPeople(file)
        asks = threading.Event()

        def read() -> int:
            asks.set()
            return len(people.index())

        with ThreadPoolExecutor(1) as threads:
            with people.changed() as changed:
                people._index = None  # as if the change before had just ended
                beside = threads.submit(read)
                asks.wait()
                threading.Event().wait(0.05)  # the thread is reading by now, if it may
                changed.forget(["person-0"])
            assert beside.result() == 1
        assert len(people.index()) == 1


def test_a_failed_change_leaves_the_people(tmp_path: Path) -> None:
    with GalleryFile.open(make(tmp_path / "g", people=2, photos=1)) as file:
        people = SharedPeople(file)
        with pytest.raises(ZeroDivisionError), people.changed():
            raise ZeroDivisionError
        assert len(people.index()) == 2


def test_the_file_is_made_once(tmp_path: Path) -> None:
    people = SharedPeople(NewGalleryFile(tmp_path / "g", SETTINGS))

    def enroll(number: int) -> None:
        with people.changed() as file:
            file.add([photo(f"person-{number}", number)])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(enroll, range(4)))
    assert len(people.index()) == 4 and isinstance(people.file, GalleryFile)
    people.file.close()
