"""The processes that read the files of a long job on a machine with many processors.

A thread that reads an image gives up Python's lock about twenty times and waits for it again each
time. From about eight threads on, more of them read no more files; a process has a lock of its own.
A decoder of native code that crashes harms its image alone.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.errors import RuntimeUnavailableError
from cnnkit.images.attempts import attempt
from cnnkit.images.prepare import InputSpec, Prepared, place, prepare_placed
from cnnkit.isolation.decoders import CRASHED, DYING_SECONDS, start_answering
from cnnkit.isolation.messages import NotTakenError, ask, receive_header, receive_into
from cnnkit.results import Failure
from cnnkit.runtime.children import Helper

log = logging.getLogger(__name__)

# With fewer threads, they read as many files as processes would.
LEAST_WORKERS = 8
# As many read more files than one process writes rows; each has about 30 MB of its own.
MOST_PROCESSES = 16
# A short job is over before the processes have started.
FILES_BEFORE = 512
# Of so many images at a time, a thread waits for Python's lock hardly more often than of one.
IMAGES_AT_A_TIME = 8


def start_reader() -> Helper:
    """Start a process that reads files; see `start_answering`."""
    return start_answering("cnnkit.isolation.file_reading")


class FileReaders:
    """Reads images as a network takes them: a few in the calling thread, many in processes.

    The processes end with `close`. What it reads, and how it fails, is the same either way.
    """

    def __init__(
        self,
        spec: InputSpec,
        max_pixels: int,
        workers: int,
        start: Callable[[], Helper] = start_reader,
    ) -> None:
        """Start nothing yet.

        Args:
            spec: What the network takes.
            max_pixels: Largest number of pixels; larger images are refused before they are decoded.
            workers: Threads that call it.
            start: Starts a process.
        """
        self._spec, self._max_pixels, self._start = spec, max_pixels, start
        self._count = min(workers - 1, MOST_PROCESSES) if workers >= LEAST_WORKERS else 0
        self._seen, self._ended = 0, False
        self._lock = threading.Lock()
        self._starting: threading.Thread | None = None
        self._all: list[Helper] = []
        self._idle: queue.LifoQueue[_FileReader] = queue.LifoQueue()
        self._are_ready = False

    def __call__(self, image: Any) -> Prepared:
        """Read one image in the calling thread; see `cnnkit.images.prepare_placed`."""
        return prepare_placed(image, self._spec, max_pixels=self._max_pixels)

    def many(self, images: Sequence[Any]) -> list[Prepared | Failure]:
        """Return each image as the network takes it, or why it cannot be read; thread-safe.

        Args:
            images: See `cnnkit.images.ImageArgument`.
        """
        self._seen += len(images)
        # What is in memory already is read where it is.
        if self._count and self._seen > FILES_BEFORE and all(type(one) is str for one in images):
            self._begin()
            reader = self._next_idle()
            if reader is not None:
                return self._sent(list(images), reader)
        return [attempt(one, self) for one in images]

    def _next_idle(self) -> _FileReader | None:
        """Return a process; None while not all are ready: then the threads read as well."""
        try:
            return self._idle.get(block=self._are_ready)
        except queue.Empty:
            return None

    def sizes(self, least: int) -> Callable[[], int]:
        """Return what tells how many images to give to `many` at a time, at least `least`."""
        return lambda: max(least, IMAGES_AT_A_TIME) if self._are_ready else least

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._count, self._ended = 0, True
            for helper in self._all:
                helper.end()
        if self._starting is not None:
            self._starting.join()

    def _begin(self) -> None:
        """Start the processes, unless that was done; nobody waits for them."""
        with self._lock:
            if self._starting is None and not self._ended:
                self._starting = threading.Thread(target=self._start_all, daemon=True)
                self._starting.start()

    def _start_all(self) -> None:
        readers = []
        try:
            for _ in range(self._count):
                readers.append(_FileReader(self._started()))
        except RuntimeUnavailableError:
            log.debug("no processes that read", exc_info=True)
        for reader in readers:
            if self._works(reader):
                self._idle.put(reader)
        self._are_ready = 0 < self._count == len(readers)

    def _started(self) -> Helper:
        """Return a new process.

        Raises:
            RuntimeUnavailableError: None can be started, or the job has ended.
        """
        with self._lock:
            if self._ended:
                raise RuntimeUnavailableError("the job has ended")
            self._all.append(self._start())
            return self._all[-1]

    def _sent(self, paths: list[str], reader: _FileReader) -> list[Prepared | Failure]:
        """Have a process read some files; if it dies, of one file at a time."""
        has_them = True
        try:
            if self._works(reader):
                return self._asked(reader.helper, paths)
        except (EOFError, OSError) as error:
            log.debug("no pixels", exc_info=True)
            has_them = not isinstance(error, NotTakenError)
            self._replace(reader)
        finally:
            self._idle.put(reader)
        if not self._count:  # none of them works, which is no image's fault
            return [attempt(one, self) for one in paths]
        if len(paths) > 1 or not has_them:
            return [one for path in paths for one in self._sent([path], self._idle.get())]
        return [Failure("crashed", CRASHED)]

    def _works(self, reader: _FileReader) -> bool:
        """Return whether a process can answer; if not even an empty question, give all up."""
        if not reader.has_answered:
            try:
                self._asked(reader.helper, [])
            except (EOFError, OSError):
                log.debug("no process that reads", exc_info=True)
                self._count = 0
            else:
                reader.has_answered = True
        return self._count > 0

    def _asked(self, helper: Helper, paths: list[str]) -> list[Prepared | Failure]:
        connection, spec = helper.connection, self._spec
        header = {"spec": spec.to_dict(), "max_pixels": self._max_pixels}
        ask(connection, header, json.dumps(paths).encode())
        reply, size = receive_header(connection)
        words = bytearray(min(size, int(reply["words"])))
        receive_into(connection, memoryview(words))
        said = json.loads(words)
        sizes = [_size(one) for one in said]
        read = sum(one is not None for one in sizes)
        pixels = np.empty((read, spec.height, spec.width, 3), np.uint8)
        if len(said) != len(paths) or size != len(words) + pixels.nbytes:
            raise OSError("a reader must send what it was asked for")
        receive_into(connection, pixels.reshape(-1).data)
        rows = iter(pixels)
        return [
            Failure(*one) if size is None else Prepared(next(rows), *size, place(*size, spec))
            for one, size in zip(said, sizes, strict=True)
        ]

    def _replace(self, reader: _FileReader) -> None:
        """Start another process instead of one that died."""
        reader.helper.end(DYING_SECONDS)
        if self._ended:
            return
        log.warning("A process that read images ended. A new one starts.")
        try:
            reader.helper, reader.has_answered = self._started(), False
        except RuntimeUnavailableError as error:
            log.warning("%s", error)
            self._count = 0


@dataclass
class _FileReader:
    """A process, and whether it has ever answered."""

    helper: Helper
    has_answered: bool = False


def _size(said: list[Any]) -> tuple[int, int] | None:
    """Return the height and width of an image that was read; None: it was not."""
    height, width = said
    return (height, width) if type(height) is int and type(width) is int else None
