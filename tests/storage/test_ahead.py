"""Reading ahead keeps the order, hides latency, and bounds what is in memory."""

from __future__ import annotations

import threading
import time

import pytest

from cnnkit.images import Found, Given, read_bytes
from cnnkit.results import Failure
from cnnkit.storage import ahead, places, remote

fsspec = pytest.importorskip("fsspec")


class SlowStore:
    """Answers after 20 ms, and counts how many requests are open."""

    def __init__(self, size: int = 10) -> None:
        self.open = self.most = self.asked = 0
        self._size = size
        self._lock = threading.Lock()

    def cat_file(self, key: str, start: int, end: int) -> bytes:
        with self._lock:
            self.open += 1
            self.asked += 1
            self.most = max(self.most, self.open)
        time.sleep(0.02)
        with self._lock:
            self.open -= 1
        if "none" in key:
            raise FileNotFoundError(key)
        return key.encode().ljust(self._size, b".")[start:end]


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setitem(places.SCHEMES, "memory", ("remote", "fsspec"))
    opened = {"memory": SlowStore()}
    monkeypatch.setattr(remote, "_opened", opened)
    return opened["memory"]


def test_order_and_content(store, tmp_path):
    (tmp_path / "local.jpg").write_bytes(b"local")
    failed = Found("memory://b/failed", Failure("missing", ""))
    inputs = [Found(f"memory://b/{number:03}.jpg") for number in range(200)]
    inputs[50], inputs[60] = Found(str(tmp_path / "local.jpg")), failed
    began = time.monotonic()
    with ahead.read_ahead(inputs) as found:
        several = list(found)
        contents = [read_bytes(one.path) for one in several if one is not failed]
    assert time.monotonic() - began < 200 * 0.02 / 2
    assert [one.path for one in several] == [one.path for one in inputs]
    assert contents[50] == b"local" and contents[0] == b"b/000.jpg."
    assert 8 < store.most <= remote.CONNECTIONS and store.asked == 198
    assert read_bytes(several[0].path) == b"b/000.jpg."  # its content was let go: read again
    assert store.asked == 199


def test_errors_are_those_of_reading(store):
    with ahead.read_ahead([Found("memory://b/none.jpg")]) as found:
        (one,) = found
        with pytest.raises(Exception, match="no such object"):
            read_bytes(one.path)


def test_little_is_read_that_nobody_takes(store):
    inputs = (Found(f"memory://b/{number}.jpg") for number in range(100_000))
    with ahead.read_ahead(inputs) as found:
        next(found)
    assert store.asked <= ahead.IMAGES_AHEAD
    assert store.open == 0


def test_large_images_are_read_a_few_at_a_time(store, monkeypatch):
    store._size = 1 << 20
    monkeypatch.setattr(ahead, "BYTES_AHEAD", 4 << 20)
    inputs = [Found(f"memory://b/{number}.jpg") for number in range(100)]
    with ahead.read_ahead(inputs) as found:
        taken = [next(found)]
        read_bytes(taken[0].path)
        for one in found:
            assert store.asked - len(taken) <= ahead.IMAGES_AHEAD
            read_bytes(one.path)
            taken.append(one)
            if len(taken) > ahead.IMAGES_AHEAD:
                assert store.asked - len(taken) <= 6
    assert len(taken) == 100


def test_local_files_are_not_kept_back():
    seen = []

    def inputs():
        for number in range(3):
            seen.append(number)
            yield Found(f"{number}.jpg")

    with ahead.read_ahead(inputs()) as found:
        next(found)
        assert seen == [0]


def test_pixels_do_not_wait_behind_objects(store):
    taken = 0

    def inputs():
        for number in range(20):
            assert number - taken <= 11
            yield Found(f"memory://b/{number}.jpg") if number < 10 else Given(object())

    with ahead.read_ahead(inputs()) as found:
        for one in found:
            taken += 1
            assert isinstance(one, Given) == (taken > 10)
    assert taken == 20
