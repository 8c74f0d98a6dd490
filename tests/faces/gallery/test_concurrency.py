"""Several processes at one gallery, and processes that are killed."""

from __future__ import annotations

import inspect
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnnkit.errors import GalleryError, UsageError
from cnnkit.faces.gallery import Gallery, GalleryFile, database
from tests.conftest import ROOT
from tests.faces.gallery.people import SETTINGS, make, photo

BATCH = 5
BATCHES = 10

# Enrols batches of one person's photos, and says when each is in.
ENROLLER = f"""
import sys
from cnnkit.faces.gallery import GalleryFile
from tests.faces.gallery.people import SETTINGS, photo
path, person, batches = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with GalleryFile.create(path, SETTINGS) as gallery:
    for batch in range(batches):
        numbers = range({BATCH} * batch, {BATCH} * (batch + 1))
        gallery.add([photo(f"person-{{person}}", person, n, f"{{n}}.jpg") for n in numbers])
        print(batch, flush=True)
"""


def enroller(path, person, batches, environment):
    return subprocess.Popen(
        [sys.executable, "-c", ENROLLER, str(path), str(person), str(batches)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_enrol_at_once_lose_nothing(tmp_path, clean_environment):
    path = tmp_path / "g"
    running = [enroller(path, person, BATCHES, clean_environment) for person in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    with GalleryFile.open(path) as gallery:
        assert gallery.people() == {f"person-{n}": BATCHES * BATCH for n in range(2)}
        assert len(gallery.index().vectors) == 2 * BATCHES * BATCH
    assert not [name for name in os.listdir(tmp_path) if name not in ("g", "home")]


def test_threads_of_a_process_take_turns_at_one_open_gallery(tmp_path):
    def enroll(person):
        for n in range(BATCHES):
            gallery.add([photo(f"person-{person}", person, n, f"{n}.jpg")])
            assert gallery.people()[f"person-{person}"] == n + 1

    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(enroll, range(4)))
        assert gallery.people() == {f"person-{n}": BATCHES for n in range(4)}


ASKING = [
    name
    for name, method in vars(Gallery).items()
    if inspect.isfunction(method) and name[0] != "_" and name not in ("close", "deciding")
]


@pytest.mark.parametrize("name", ASKING)
def test_a_forked_process_leaves_the_open_file_alone(name):
    """SQLite loses its locks there, and two processes damage the file."""
    gallery = Gallery.__new__(Gallery)
    gallery._process = os.getpid() + 1
    with pytest.raises(UsageError, match=r"the Gallery must stay in the process .* forked"):
        getattr(gallery, name)()


def test_a_closed_gallery_says_so(tmp_path):
    gallery = GalleryFile.create(tmp_path / "g", SETTINGS)
    gallery.close()
    gallery.close()
    with pytest.raises(UsageError, match=r"must be open\. Received: a closed gallery\."):
        gallery.people()


@pytest.mark.slow
def test_readers_see_whole_changes_while_another_process_enrols(tmp_path, clean_environment):
    path = make(tmp_path / "g", 1, 1)
    process = enroller(path, 7, 20, clean_environment)
    seen = set()
    while process.poll() is None:
        with GalleryFile.open(path) as gallery:
            seen.add(gallery.people().get("person-7", 0))
    assert process.communicate()[1] == ""
    assert all(count % BATCH == 0 for count in seen)


@pytest.mark.parametrize("batches_before", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_a_killed_enrolment_leaves_the_old_or_the_new_state(
    tmp_path, clean_environment, batches_before
):
    path = make(tmp_path / "g", 2, 1)
    process = enroller(path, 7, 10_000, clean_environment)
    for _ in range(batches_before + 1):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with GalleryFile.open(path) as gallery:
        people = gallery.people()
        assert {"person-0": 1, "person-1": 1}.items() <= people.items()
        assert people["person-7"] % BATCH == 0
        assert people["person-7"] >= BATCH * (batches_before + 1)
        assert gallery.add([photo("person-7", 7, 0)]) == ["known"]
        assert len(gallery.photos()) == sum(people.values())
        # A journal that had not begun yet changes nothing, and goes with the next change.
        assert gallery.add([photo("Ann", 9)]) == ["added"]
    assert not [name for name in os.listdir(tmp_path) if name not in ("g", "home")]


def test_every_statement_of_an_enrolment_may_be_the_last(tmp_path):
    """A process that ends without a word at any statement leaves the old state."""
    last = 0
    while True:
        path = make(tmp_path / f"g{last}", 1, 1)
        child = os.fork()
        if child == 0:
            _enrol_and_die(path, last)
        _, status = os.waitpid(child, 0)
        with GalleryFile.open(path) as gallery:
            people = gallery.people()
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert people == {"person-0": 1}
        last += 1
    assert people == {"person-0": 1, "Ann": 2, "Bob": 1}
    assert last > 10


def _enrol_and_die(path, last):
    """Enrol in a child process, which ends at its statement number `last`."""
    gallery = GalleryFile.open(path)
    count = 0

    def trace(statement):
        nonlocal count
        if count == last:
            os._exit(9)
        count += 1

    gallery._connection.set_trace_callback(trace)
    gallery.add([photo("Ann", 5, 0), photo("Ann", 5, 1), photo("Bob", 6, 0)])
    os._exit(0)


def test_a_gallery_in_use_for_too_long(tmp_path, monkeypatch):
    path = make(tmp_path / "g")
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    with GalleryFile.open(path) as gallery:
        other.execute("BEGIN EXCLUSIVE")
        for look in (gallery.people, lambda: gallery.add([photo("Ann", 9)])):
            with pytest.raises(GalleryError, match="in use by another process"):
                look()
        other.execute("COMMIT")
        assert len(gallery.people()) == 3
    other.close()


def test_galleries_that_are_made_at_once_are_one(tmp_path):
    path = tmp_path / "g"
    first, second = GalleryFile.create(path, SETTINGS), GalleryFile.create(path, SETTINGS)
    first.add([photo("Ann", 0)])
    second.add([photo("Bob", 1)])
    assert first.people() == second.people() == {"Ann": 1, "Bob": 1}
    first.close()
    second.close()
