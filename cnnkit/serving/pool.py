"""The threads that answer requests, and the places of the requests that wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from cnnkit.serving.refusals import busy

T = TypeVar("T")


class WorkerPool:
    """Threads, and a bounded number of places for requests.

    A place is taken before the body is read, so that the bodies in memory are bounded too. Python
    cannot stop a thread: the place of a request that timed out is free only when its thread is.
    """

    def __init__(self, workers: int, places: int) -> None:
        """Start no thread yet.

        Args:
            workers: How many threads.
            places: How many requests are admitted at a time: those that run and those that wait.
        """
        self.workers, self.places = workers, places
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="cnnkit-serve")
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many requests are admitted now."""
        return self._taken

    def place(self) -> QueuePlace:
        """Return a place, to be used as a context manager.

        Raises:
            Refusal: All are taken.
        """
        with self._lock:
            if self._taken >= self.places:
                raise busy()
            self._taken += 1
        return QueuePlace(self)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run something in a thread as soon as one is free."""
        return self._executor.submit(work)

    def release(self, _: object = None) -> None:
        """Free a place."""
        with self._lock:
            self._taken -= 1

    def close(self) -> None:
        """Finish what runs and end the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class QueuePlace:
    """The place of one request; see `WorkerPool.place`."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._last: Future[object] | None = None

    def __enter__(self) -> QueuePlace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._last is None:
            self._pool.release()
        else:  # at once, if it is done
            self._last.add_done_callback(self._pool.release)

    async def run(self, work: Callable[[], T]) -> T:
        """Run something in a thread; canceled, it is dropped if it has not begun."""
        future = self._pool.submit(work)
        self._last = future  # type: ignore[assignment]
        return await asyncio.wrap_future(future)
