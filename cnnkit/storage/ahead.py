"""Reads objects and rows ahead of the workers, so that they never wait for a network."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from cnnkit.storage.places import PARQUET, Member, container_suffix, is_url, split_member
from cnnkit.storage.reading import Fetched, read_elsewhere
from cnnkit.storage.remote import CONNECTIONS, MAX_OBJECT_BYTES

T = TypeVar("T")

# Images that are read or waiting, and the bytes after which no more are asked for.
IMAGES_AHEAD = 4 * CONNECTIONS
BYTES_AHEAD = 256 * 1024**2


@contextlib.contextmanager
def read_ahead(found: Iterable[T]) -> Iterator[Iterator[T]]:
    """Give inputs in their order, those that are no files with their content on its way.

    Files and members of local tar files are passed on as they are: the workers read them. Memory
    holds about `BYTES_AHEAD` bytes. What was not begun to be read when the block ends is dropped.

    Args:
        found: Inputs with a ``path``, and anything else.
    """
    readers = _Readers()
    try:
        yield _ahead(found, readers)
    finally:
        readers.close()


def _ahead(found: Iterable[T], readers: _Readers) -> Iterator[T]:
    waiting: deque[T] = deque()
    for item in found:
        path = getattr(item, "path", None)
        if not isinstance(path, str):  # pixels, as of a frame: few of them fit into memory
            yield from _drained(waiting)
        elif getattr(item, "failure", None) is None:
            many = _pool_of(path)
            if many is not None:
                fetched: Any = item
                item = replace(fetched, path=readers.read(path, many))
        waiting.append(item)
        while waiting and (readers.is_full(len(waiting)) or not _is_fetched(waiting[0])):
            yield waiting.popleft()
    yield from _drained(waiting)


def _drained(waiting: deque[T]) -> Iterator[T]:
    while waiting:
        yield waiting.popleft()


def _is_fetched(item: Any) -> bool:
    return isinstance(getattr(item, "path", None), Fetched)


def _pool_of(path: str) -> bool | None:
    """Return whether many threads may read a path at once or one in order, None for no thread."""
    if isinstance(path, Member):
        file: str | None = path.file
    elif isinstance(path, Fetched):
        return None
    else:
        parts = split_member(path) if "!" in path else None
        file = parts[0] if parts else None
    if file is not None and container_suffix(file) == PARQUET:
        return False
    return True if is_url(path) else None


class _Readers:
    """The threads that read, and the size of the largest image so far."""

    def __init__(self) -> None:
        self._pools: dict[bool, ThreadPoolExecutor] = {}
        self._largest = 0

    def read(self, path: str, many: bool) -> Fetched:
        """Begin to read a path, in one of many threads or in the one that keeps the order."""
        if many not in self._pools:
            threads = CONNECTIONS if many else 1
            self._pools[many] = ThreadPoolExecutor(threads, thread_name_prefix="cnnkit-reader")
        content = self._pools[many].submit(read_elsewhere, path, MAX_OBJECT_BYTES)
        content.add_done_callback(self._note)
        return Fetched(path, content)

    def _note(self, content: Future[bytes]) -> None:
        if not content.cancelled() and content.exception() is None:
            self._largest = max(self._largest, len(content.result()))

    def is_full(self, waiting: int) -> bool:
        """Return whether so many inputs are enough, by their number or their bytes."""
        return waiting >= IMAGES_AHEAD or waiting * self._largest > BYTES_AHEAD

    def close(self) -> None:
        """End the threads; what they have not begun to read is dropped."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
