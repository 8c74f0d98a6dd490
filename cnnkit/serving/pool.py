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

    Slow requests have threads of their own, and at most half of the places: quick ones never wait
    for one of them to end.
    """

    def __init__(self, workers: int, places: int) -> None:
        """Start no thread yet.

        Args:
            workers: How many threads; there is one less for slow requests, but at least one.
            places: How many requests are admitted at a time: those that run and those that wait.
        """
        self.workers, self.places = workers, places
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="cnnkit-serve")
        self._slow_executor = ThreadPoolExecutor(
            max(1, workers - 1), thread_name_prefix="cnnkit-serve-slow"
        )
        self._lock = threading.Lock()
        self._taken = self._slow_taken = 0

    @property
    def taken(self) -> int:
        """How many requests are admitted now."""
        return self._taken

    def place(self, slow: bool = False) -> QueuePlace:
        """Return a place, to be used as a context manager.

        Args:
            slow: Whether the request takes long.

        Raises:
            Refusal: All are taken.
        """
        with self._lock:
            most_slow = max(1, self.places // 2)
            if self._taken >= self.places or (slow and self._slow_taken >= most_slow):
                raise busy()
            self._taken += 1
            self._slow_taken += slow
        return QueuePlace(self, slow)

    def submit(self, work: Callable[[], T], slow: bool = False) -> Future[T]:
        """Run something in a thread as soon as one is free."""
        return (self._slow_executor if slow else self._executor).submit(work)

    def release(self, slow: bool = False) -> None:
        """Free a place."""
        with self._lock:
            self._taken -= 1
            self._slow_taken -= slow

    def close(self) -> None:
        """Finish what runs and end the threads."""
        for executor in (self._executor, self._slow_executor):
            executor.shutdown(wait=True, cancel_futures=True)


class QueuePlace:
    """The place of one request; see `WorkerPool.place`."""

    def __init__(self, pool: WorkerPool, slow: bool) -> None:
        self._pool, self._slow = pool, slow
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
            self._pool.release(self._slow)
        else:  # at once, if it is done
            self._last.add_done_callback(lambda _: self._pool.release(self._slow))

    async def run(self, work: Callable[[], T]) -> T:
        """Run something in a thread; canceled, it is dropped if it has not begun."""
        future = self._pool.submit(work, self._slow)
        self._last = future  # type: ignore[assignment]
        return await asyncio.wrap_future(future)
