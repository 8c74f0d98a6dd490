"""Reading files in other processes: the same pixels and failures, and a crash harms one file."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit.errors import RuntimeUnavailableError
from cnnkit.images import InputSpec
from cnnkit.images.attempts import attempt
from cnnkit.isolation import file_readers
from cnnkit.isolation.decoders import CRASHED
from cnnkit.isolation.file_readers import FileReaders, start_reader
from cnnkit.results import Failure
from cnnkit.runtime.children import connect_module, loaded_from
from tests.serving.processes import is_running
from tests.ugly_files import bad_files, good_files

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of what this process decodes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
SPEC = InputSpec(40, 56, "pad")
MAX_PIXELS = 600_000
WORKERS = 9

# A reader that dies of a file with a certain name, and one that dies of everything.
STRANGE = """
import os
from cnnkit.isolation import file_reading

read = file_reading.prepare_placed

def strange(path, **options):
    if path.endswith("crash.jpg"):
        os.kill(os.getpid(), 11)
    return read(path, **options)

file_reading.prepare_placed = strange
file_reading.main()
"""


@pytest.fixture
def at_once(monkeypatch):
    """Processes from the first file on, two of them, that are waited for."""
    monkeypatch.setattr(file_readers, "FILES_BEFORE", 0)
    monkeypatch.setattr(file_readers, "MOST_PROCESSES", 2)
    begin = FileReaders._begin

    def begun(self) -> None:
        begin(self)
        self._starting.join()

    monkeypatch.setattr(FileReaders, "_begin", begun)


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """Starts a strange reader."""
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "strange.py").write_text(STRANGE)
    (tmp_path / "strange" / "broken.py").write_text("raise SystemExit(1)")
    places = loaded_from() | dict.fromkeys(("strange", "broken"), str(tmp_path / "strange"))
    monkeypatch.setattr("cnnkit.runtime.children.loaded_from", lambda: places)
    return lambda: connect_module("strange")


@pytest.fixture
def photos(tmp_path):
    """Paths of a few photos, one of them with bytes that are no text."""
    paths = [str(path) for path in sorted(EXAMPLES.glob("*.jpg"))]
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff\xfe.jpg")
    Path(odd).write_bytes(Path(paths[0]).read_bytes())
    return [*paths, odd]


def readers(start=start_reader, workers=WORKERS):
    return closing(FileReaders(SPEC, MAX_PIXELS, workers, start))


def same(one, other):
    if isinstance(one, Failure) or isinstance(other, Failure):
        return one == other
    sizes = (one.height, one.width, one.placement) == (other.height, other.width, other.placement)
    return sizes and np.array_equal(one.pixels, other.pixels)


def test_ugly_files_have_the_same_pixels_and_failures(at_once, tmp_path, photos) -> None:
    folder = tmp_path / "ugly"
    folder.mkdir()
    bad = {name: content for name, (_, content) in bad_files().items()}
    for name, content in {**good_files(), **bad}.items():
        (folder / name).write_bytes(content)
    paths = [*photos, *map(str, sorted(folder.iterdir())), str(tmp_path / "missing.jpg")]
    with readers() as several:
        found = several.many(paths)
        assert len(several._all) == 2
        expected = [attempt(path, several) for path in paths]
    assert sum(isinstance(one, Failure) for one in found) > 3
    assert [a for a, b in zip(found, expected, strict=True) if not same(a, b)] == []


def test_threads_share_them_and_get_their_own_files(at_once, photos) -> None:
    with readers() as several, ThreadPoolExecutor(6) as pool:
        batches = [photos[k:] + photos[:k] for k in range(len(photos))]
        for batch, found in zip(batches, pool.map(several.many, batches), strict=True):
            assert all(same(one, several(path)) for path, one in zip(batch, found, strict=True))


def test_a_crash_harms_its_file_alone(at_once, strange, tmp_path, photos, caplog) -> None:
    crash = str(tmp_path / "crash.jpg")
    Path(crash).write_bytes(Path(photos[0]).read_bytes())
    with readers(strange) as several:
        found = several.many([*photos[:2], crash, *photos[2:]])
        again = several.many(photos)
    assert found[2] == Failure("crashed", CRASHED)
    assert not any(isinstance(one, Failure) for one in [*found[:2], *found[3:], *again])
    assert "A process that read images ended" in caplog.text


def test_a_reader_that_dies_of_something_else_costs_no_file(at_once, photos) -> None:
    """It is stopped, so that it cannot take the file that it is sent before it is ended."""
    with readers() as several:
        expected = several.many(photos)
        for helper in several._all[:2]:
            os.kill(helper.number, signal.SIGSTOP)
            threading.Timer(0.3, os.kill, (helper.number, signal.SIGKILL)).start()
        found = several.many(photos[:1])
    assert same(found[0], expected[0])


def cannot_start():
    raise RuntimeUnavailableError("no processes")


@pytest.mark.parametrize("how", ["none starts", "none works"])
def test_without_processes_the_threads_read(at_once, strange, photos, how) -> None:
    start = cannot_start if how == "none starts" else lambda: connect_module("broken")
    with readers(start) as several:
        for _ in range(2):
            assert not any(isinstance(one, Failure) for one in several.many(photos))


def test_the_threads_read_until_the_processes_are_ready(monkeypatch, photos) -> None:
    monkeypatch.setattr(file_readers, "FILES_BEFORE", 0)
    may_start = threading.Event()

    def slow_start():
        may_start.wait(60)
        return start_reader()

    with readers(slow_start, workers=9) as several:
        sizes = several.sizes(1)
        assert not any(isinstance(one, Failure) for one in several.many(photos))
        assert not several._all and sizes() == 1
        may_start.set()
        several._starting.join()
        assert len(several._all) == 8 and sizes() == file_readers.IMAGES_AT_A_TIME
        assert several.sizes(64)() == 64
        assert not any(isinstance(one, Failure) for one in several.many(photos))


def test_few_files_or_threads_start_nothing(monkeypatch, photos) -> None:
    with readers(cannot_start) as several:
        several.many(photos)
        assert several._count == WORKERS - 1 and not several._all
    monkeypatch.setattr(file_readers, "FILES_BEFORE", 0)
    with readers(cannot_start, workers=3) as few:
        assert few._count == 0
        few.many(photos)


def test_pixels_in_memory_are_read_where_they_are(at_once) -> None:
    pixels = np.full((30, 30, 3), 7, np.uint8)
    with readers() as several:
        (found,) = several.many([pixels])
        assert not several._all and (found.height, found.width) == (30, 30)


def test_the_processes_end_with_the_job(at_once, photos) -> None:
    with readers() as several:
        several.many(photos)
        numbers = [helper.number for helper in several._all]
        assert all(map(is_running, numbers))
    assert not any(map(is_running, numbers))


@pytest.mark.parametrize(
    ("load", "model"), [(cnnkit.Classifier, "squeezenet-1.1"), (cnnkit.Detector, "nanodet-g")]
)
def test_a_job_answers_the_same(at_once, monkeypatch, photos, load, model) -> None:
    tool = load.load(model)
    paths = [*photos[:3], "missing.jpg", *photos[3:]]
    expected = [repr(result) for _, result in tool.stream(paths)]
    started = []
    monkeypatch.setattr(
        "cnnkit.isolation.decoders.connect_module",
        lambda *a, **k: started.append(connect_module(*a, **k)) or started[-1],
    )
    found = list(tool.stream(paths, workers=WORKERS))
    assert [path for path, _ in found] == paths
    assert [repr(result) for _, result in found] == expected
    assert started and not any(is_running(one.number) for one in started)


def test_a_job_that_is_left_ends_them(at_once, photos) -> None:
    tool = cnnkit.Classifier.load("squeezenet-1.1")
    some = tool.stream(photos, workers=WORKERS)
    next(some)
    some.close()
    assert not [name for name in children() if "file_reading" in name]


def children() -> list[str]:
    """The commands of this process's children."""
    found = []
    for number in Path("/proc/self/task").glob("*/children"):
        for child in number.read_text().split():
            try:
                found.append(Path("/proc", child, "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found
