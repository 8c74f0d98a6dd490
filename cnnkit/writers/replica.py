"""The journal of a run in an object store: what was appended, one object after the other.

A run keeps its journal on its own machine and copies what was appended to ``URL.parts/00000001``,
``00000002`` and so on, each written once by one request. Any machine can rebuild the journal from
them. A part holds a line that says what it is, rows as they are in the journal, and features as
they are in their file. Features go ahead of their rows, as they do in the files.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cnnkit.errors import ImageError, OutputError, UsageError, broken_rule
from cnnkit.storage.places import scheme_of
from cnnkit.storage.remote import read_object
from cnnkit.storage.writing import (
    is_refusal,
    object_size,
    objects_below,
    put_object,
    remove_object,
    remove_objects,
)
from cnnkit.writers.journal import MALFORMED

log = logging.getLogger(__name__)

REPLICA_VERSION = 1
# A part is written after so many seconds or bytes, whichever comes first.
SECONDS = 10.0
# Where each write is a commit, of which an hour may have few.
SLOW_SECONDS = {"hf": 60.0}
PART_BYTES = 8 * 1024**2
# Seconds for which a store may be out of reach before the run ends.
PATIENCE = 120.0
# Parts that are read at a time.
READERS = 8
# The object that says that all was made from the parts, and these are being removed.
DONE = "done"
RUN_FILE = "run"
_NUMBER = re.compile(r"\d{8}")


class _ReplicaHead(NamedTuple):
    """What the first line of a part says, and the rest of the part."""

    run: str
    session: str
    text_start: int
    text: bytes
    features_start: int
    features: bytes


class Replica:
    """The parts of one run.

    Attributes:
        url: The finished object's URL.
    """

    def __init__(self, url: str, journal: Path, features: Path | None) -> None:
        """Settle the places; nothing is read or written.

        Args:
            url: The finished object.
            journal: The journal on this machine.
            features: The file of its features; None: there are none, or they stay here.
        """
        self.url = url
        self._prefix = f"{url}.parts/"
        self._journal, self._features = journal, features
        self._run, self._session = secrets.token_hex(8), secrets.token_hex(8)
        self._sizes: list[int] = []  # of each part
        self._sent = self._safe = (0, 0)  # bytes of the journal and of the features
        self._is_open = False
        self._needs_mark = scheme_of(url) != "hf"  # where all parts are removed at once
        self._seconds = SLOW_SECONDS.get(scheme_of(url) or "", SECONDS)
        self._due = 0.0
        self._failing_since: float | None = None

    def _part(self, number: int) -> str:
        return f"{self._prefix}{number:08d}"

    def _numbers(self) -> dict[int, int]:
        found = objects_below(self._prefix)
        return {int(name): size for name, size in sorted(found.items()) if _NUMBER.fullmatch(name)}

    def is_unfinished(self) -> bool:
        """Return whether there are parts to resume, removing those of a finished run.

        Raises:
            OutputError: The store cannot be read.
        """
        found = objects_below(self._prefix)
        if DONE in found:
            self.remove()
            return False
        return any(map(_NUMBER.fullmatch, found))

    def remove(self) -> None:
        """Remove all parts, and then what says that they are done with.

        Raises:
            OutputError: One cannot be removed.
        """
        remove_objects(self._prefix, [f"{number:08d}" for number in self._numbers()])
        if self._needs_mark:
            remove_object(self._prefix + DONE)

    # --- reading ------------------------------------------------------------------------------

    def restore(self) -> None:
        """Make the journal and the features again as the parts have them.

        Rows that this machine has of the same run and could not copy any more are kept.

        Raises:
            UsageError: A part is missing, or is not as it was written.
            OutputError: The store cannot be read, or a file cannot be written.
        """
        numbers = self._numbers()
        try:
            with contextlib.ExitStack() as opened:
                rows, vectors = (
                    _Rebuilt(None if path is None else opened.enter_context(_opened(path)))
                    for path in (self._journal, self._features)
                )
                for number, head in self._heads(numbers):
                    if number == 1:
                        self._run = head.run
                        rows.keeps = vectors.keeps = self._is_local()
                    elif head.run != self._run:
                        continue  # of a run that was overwritten while it was running
                    if number != len(self._sizes) + 1:
                        raise self._refused(len(self._sizes) + 1, "no object")
                    rows.add(head.text_start, head.text)
                    vectors.add(head.features_start, head.features)
                    self._sizes.append(numbers[number])
                keeps = rows.keeps and vectors.keeps
                rows.end(keeps)
                vectors.end(keeps)
                self._sent = (rows.size, vectors.size)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._journal} cannot be written: {reason}.") from error

    def _heads(self, numbers: dict[int, int]) -> Iterator[tuple[int, _ReplicaHead]]:
        """Yield the parts in their order, a few of them read ahead."""
        if 1 not in numbers:
            raise self._refused(1, "no object")
        order = list(numbers)
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(order), READERS):
                some = order[start : start + READERS]
                yield from zip(some, pool.map(self._read, some), strict=True)

    def _read(self, number: int) -> _ReplicaHead:
        try:
            return _parsed(read_object(self._part(number)))
        except ImageError as error:
            raise OutputError(f"{self._part(number)} cannot be read: {error.message}.") from error
        except MALFORMED as error:
            raise self._refused(number, "another object") from error

    def _refused(self, number: int, received: str) -> UsageError:
        fix = "Use `overwrite=True` to start over."
        return UsageError(broken_rule(self._part(number), "be as this run wrote it", received, fix))

    def _is_local(self) -> bool:
        """Return whether the files on this machine are of the run in the store."""
        try:
            return (self._journal.with_name(RUN_FILE)).read_text() == self._run
        except OSError:
            return False

    # --- writing ------------------------------------------------------------------------------

    def begin(self, text: int, features: int) -> None:
        """Write the first part, which tells other runs that the place is taken.

        Args:
            text: Bytes of the journal, which is open.
            features: Bytes of its features.

        Raises:
            OutputError: It cannot be written, or another run was faster.
        """
        try:
            self._journal.with_name(RUN_FILE).write_text(self._run)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._journal} cannot be written: {reason}.") from error
        # The files may have been truncated: to their last whole line.
        self._sent = (min(self._sent[0], text), min(self._sent[1], self._of_features(features)))
        self._safe = (text, self._of_features(features))
        self.push()
        self._is_open = True
        self._due = time.monotonic() + self._seconds

    def _of_features(self, size: int) -> int:
        return 0 if self._features is None else size

    def note(self, text: int, features: int) -> None:
        """Take notice of a row that is complete, and copy what was appended if it is time.

        Args:
            text: Bytes of the journal.
            features: Bytes of its features.

        Raises:
            OutputError: It cannot be copied, and waiting has not helped.
        """
        if not self._is_open:
            return
        self._safe = (text, self._of_features(features))
        now = time.monotonic()
        waiting = sum(self._safe) - sum(self._sent)
        if now < self._due and (waiting < PART_BYTES or self._failing_since is not None):
            return
        try:
            self.push()
        except OutputError as error:
            self._wait_for_store(error, now)
        else:
            self._failing_since = None
        self._due = time.monotonic() + self._seconds

    def _wait_for_store(self, error: OutputError, now: float) -> None:
        """Continue for a while without a store that is out of reach.

        Raises:
            OutputError: It is not out of reach but refuses, or has been so for too long.
        """
        since = self._failing_since
        if is_refusal(error) or now - (now if since is None else since) >= PATIENCE:
            self._is_open = False
            raise self.with_advice(error) from error
        if since is None:
            self._failing_since = now
            log.warning("%s The run continues and tries again.", error)

    def with_advice(self, error: OutputError) -> OutputError:
        """Return the error with what can be done about it."""
        fix = "Fix the cause, then run the same command with `resume=True`."
        return OutputError(f"{error} The rows are saved on this machine. {fix}")

    @property
    def has_parts(self) -> bool:
        """Whether the store has something that can be resumed, as far as is known."""
        return bool(self._sizes)

    def push(self) -> None:
        """Copy all complete rows that were not copied yet.

        Raises:
            OutputError: They cannot be copied, or another run writes to the same place.
        """
        if self._sizes and self._sent == self._safe:
            return
        self._check_last()
        while not self._sizes or self._sent != self._safe:
            text, features = self._sent
            vectors = _slice(self._features, features, min(self._safe[1], features + PART_BYTES))
            lines = b""
            if features + len(vectors) == self._safe[1]:  # else rows would come before them
                end = min(self._safe[0], text + PART_BYTES - len(vectors))
                lines = _slice(self._journal, text, end)
            self._put(len(self._sizes) + 1, self._packed(text, lines, features, vectors))

    def _packed(self, text: int, lines: bytes, features: int, vectors: bytes) -> bytes:
        head = {
            "cnnkit_replica": REPLICA_VERSION,
            "run": self._run,
            "session": self._session,
            "text": [text, len(lines)],
            "features": [features, len(vectors)],
            "checksum": zlib.crc32(vectors, zlib.crc32(lines)),
        }
        return b"".join((json.dumps(head).encode(), b"\n", lines, vectors))

    def _put(self, number: int, data: bytes) -> None:
        """Write a part that must be new.

        Raises:
            OutputError: It cannot be written, or another run has written it.
        """
        url = self._part(number)
        try:
            put_object(url, data, new=True)
        except FileExistsError:
            there = _content(url)
            try:
                found = _parsed(there)
            except MALFORMED:
                raise self._taken() from None
            if (found.run, found.session) == (self._run, self._session):
                data = there  # written by a request whose answer was lost
            elif found.run != self._run and number > 1:
                put_object(url, data)  # of a run that this one has overwritten
            else:
                raise self._taken() from None
        head = _parsed(data)
        self._sizes.append(len(data))
        ends = (head.text_start + len(head.text), head.features_start + len(head.features))
        self._sent = ends

    def _check_last(self) -> None:
        """Notice a run that has started over at the same place."""
        if self._sizes and object_size(self._part(len(self._sizes))) != self._sizes[-1]:
            raise self._taken()

    def check(self) -> None:
        """Refuse to finish a run whose parts are not those that it has written.

        Raises:
            OutputError: Another run has written some, or removed them.
        """
        numbers = self._numbers()
        mine = dict(enumerate(self._sizes, start=1))
        if {number: numbers.get(number) for number in mine} != mine:
            raise self._taken()

    def _taken(self) -> OutputError:
        return OutputError(f"{self.url} is being written by another run. Wait for it to end.")

    def finish(self) -> None:
        """Remove the parts, once the finished object is there."""
        self._is_open = False
        try:
            if self._needs_mark:
                put_object(self._prefix + DONE, b"")
            self.remove()
        except OutputError as error:
            log.warning("%s The next run with this output removes its parts.", error)

    def close(self) -> None:
        """Copy what is complete, for a run that ends before its time."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self.push()
        except OutputError as error:
            log.warning("%s The last rows are kept on this machine only.", error)


class _Rebuilt:
    """A file that is made again from parts, and written only where it differs from them.

    Attributes:
        size: Bytes so far.
        keeps: Whether it has been as the parts are, so that what follows may be kept.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file  # None: nobody wants it
        self.size = 0
        self.keeps = False

    def add(self, start: int, data: bytes) -> None:
        """Add what a part has; the file had been truncated to its start."""
        if start > self.size:
            raise UsageError("`resume` requires all parts. Use `overwrite=True` to start over.")
        self.size = start + len(data)
        if self._file is None:
            return
        self._file.seek(start)
        if self.keeps and self._file.read(len(data)) != data:
            self.keeps = False
        if not self.keeps:
            self._file.truncate(start)
            self._file.seek(start)
            self._file.write(data)

    def end(self, keeps: bool) -> None:
        """Keep what follows the parts, or not."""
        if not keeps and self._file is not None:
            self._file.truncate(self.size)


def _opened(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path.open("r+b")


def _slice(path: Path | None, start: int, end: int) -> bytes:
    if path is None or end <= start:
        return b""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _content(url: str) -> bytes:
    try:
        return read_object(url)
    except ImageError as error:
        raise OutputError(f"{url} cannot be read: {error.message}.") from error


def _parsed(data: bytes) -> _ReplicaHead:
    """Return a part.

    Raises:
        ValueError: It is none; or another error of `MALFORMED`.
    """
    line, _, body = data.partition(b"\n")
    found = json.loads(line)
    (text, lines), (features, vectors) = found["text"], found["features"]
    _check_numbers((text, lines, features, vectors))
    if found["cnnkit_replica"] != REPLICA_VERSION or not isinstance(found["run"], str):
        raise ValueError("another version")
    if len(body) != lines + vectors or zlib.crc32(body) != found["checksum"]:
        raise ValueError("changed")
    return _ReplicaHead(
        found["run"], str(found["session"]), text, body[:lines], features, body[lines:]
    )


def _check_numbers(numbers: Sequence[object]) -> None:
    if not all(type(one) is int and one >= 0 for one in numbers):
        raise ValueError("no numbers")
