"""The journal of a folder job: rows appended as they are made, finished atomically.

Rows grow in ``FILE.part`` as JSON Lines behind one header line; the finished FILE is made
from it, in whatever form its suffix asks for. A killed run leaves whole rows and at most
one torn line, which `Journal.open` cuts off.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cnnkit.errors import OutputError, UsageError
from cnnkit.results import key_of
from cnnkit.writers.row_files import json_line

SCHEMA_VERSION = 1


def path_key(path: str) -> int:
    """Return 8 bytes that stand for a path, so that a million of them stay small."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class Journal:
    """The growing rows of one run.

    Attributes:
        target: The finished file's path.
        part: The growing file's path.
        count: Rows in the journal, replaced ones counted.
        statuses: How many final rows are ``ok`` and ``error``.
    """

    def __init__(self, target: Path, file: BinaryIO) -> None:
        self.target = target
        self.part = part_path(target)
        self.count = 0
        self.statuses = {"ok": 0, "error": 0}
        self._file = file
        self._done: set[int] = set()
        # Journal index of a row that a later row for the same path replaces.
        self._replaced: dict[int, int] = {}
        # Journal index of the row of each input that failed and may be tried again.
        self._failed: dict[int, int] = {}

    @classmethod
    def open(
        cls,
        target: Path,
        header: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        retry_errors: bool = False,
    ) -> Journal:
        """Start a journal, or go on with one.

        Args:
            target: The file that is to be finished.
            header: What must be the same in a resumed run: the model and the options.
            resume: Go on where a killed run stopped.
            overwrite: Start anew, whatever is there.
            retry_errors: When resuming, take inputs that failed once more.

        Raises:
            UsageError: A file is in the way, or the run to resume was another.
            OutputError: The file cannot be written.
        """
        part = part_path(target)
        _refuse_what_is_in_the_way(target, part, resume, overwrite)
        header = {"cnnkit_journal": SCHEMA_VERSION, **header}
        resuming = resume and part.exists() and part.stat().st_size > 0
        with _named_failure(part):
            file = part.open("r+b" if resuming else "wb")
        _lock(file, part)
        journal = cls(target, file)
        if resuming:
            journal._read(header, retry_errors)
        if not resuming or journal._is_blank():
            journal._write(json_line(header))
        return journal

    def _is_blank(self) -> bool:
        return self._file.tell() == 0

    def _read(self, header: dict[str, Any], retry_errors: bool) -> None:
        """Take in the rows of a killed run and cut off a torn last line."""
        end = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            if number == 0:
                self._check_header(line, header)
            else:
                self._take_in(line, retry_errors)
            end += len(line)
        with _named_failure(self.part):
            self._file.truncate(end)
            self._file.seek(end)

    def _take_in(self, line: bytes, retry_errors: bool) -> None:
        row = self._parse(line)
        self._enter(row)
        if row["status"] == "ok" or not retry_errors:
            self._done.add(path_key(key_of(row)))

    def _enter(self, row: dict[str, Any]) -> None:
        """Count a row, and note which earlier failure it replaces."""
        if self._failed or row["status"] == "error":
            key = path_key(key_of(row))
            if key in self._failed:
                self._replaced[self._failed.pop(key)] = self.count
                self.statuses["error"] -= 1
            if row["status"] == "error":
                self._failed[key] = self.count
        self.statuses[row["status"]] += 1
        self.count += 1

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
            if isinstance(row, dict) and row.get("status") in ("ok", "error") and key_of(row):
                return row
        except (ValueError, KeyError):
            pass
        raise UsageError(
            f"{self.part} must hold rows of cnnkit. Received: {line[:60]!r}. "
            "Use --overwrite to start anew."
        )

    def _check_header(self, line: bytes, header: dict[str, Any]) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "cnnkit_journal" not in found:
            raise UsageError(
                f"{self.part} must be the journal of an unfinished run. "
                "Received: another file. Move it away, or use --overwrite."
            )
        expected = json.loads(json_line(header))
        for key in {**expected, **found}:
            if found.get(key) != expected.get(key):
                raise UsageError(
                    f"--resume must go on with the same {key}. Received: "
                    f"{_difference(found.get(key), expected.get(key))}. "
                    "Give the same command again, or use --overwrite to start anew."
                )

    def is_done(self, path: str) -> bool:
        """Return whether a row of an earlier run already stands for this input."""
        return bool(self._done) and path_key(path) in self._done

    def append(self, row: dict[str, Any]) -> None:
        """Write one row and hand it to the operating system: a kill cannot take it back.

        Raises:
            OutputError: It cannot be written, for instance because the disk is full.
        """
        self._write(json_line(row))
        self._enter(row)

    def _write(self, line: str) -> None:
        try:
            self._file.write(line.encode("utf-8"))
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.part} cannot be written: {error.strerror or error}. {self.count} rows are "
                "safe in it: mend the cause and give the same command with --resume."
            ) from error

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give the final rows, in input order, each with its index in the journal.

        A row that was tried again stands where it first stood.
        """
        replacements = self._read_indices(set(self._replaced.values()))
        later = set(self._replaced.values())
        for index, row in self._raw_rows():
            if index in later:
                continue
            latest = index
            while latest in self._replaced:
                latest = self._replaced[latest]
            yield latest, row if latest == index else replacements[latest]

    def _read_indices(self, wanted: set[int]) -> dict[int, dict[str, Any]]:
        if not wanted:
            return {}
        return {index: row for index, row in self._raw_rows() if index in wanted}

    def _raw_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self.part.open("rb") as file:
            file.readline()
            for index, line in enumerate(file):
                if not line.endswith(b"\n"):
                    return
                yield index, json.loads(line)

    def close(self) -> None:
        """Let go of the file; the journal stays for a later ``--resume``."""
        with contextlib.suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Remove the journal, once everything that is made from it is finished."""
        self.close()
        self.part.unlink(missing_ok=True)


def part_path(target: Path) -> Path:
    """Return the path of the growing file beside the finished one."""
    return target.with_name(target.name + ".part")


def _refuse_what_is_in_the_way(target: Path, part: Path, resume: bool, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError(f"-o must name a file. Received: the folder {target}.")
    if not target.parent.is_dir():
        raise UsageError(
            f"-o must lie in a folder that exists. Received: {target}. Make {target.parent} first."
        )
    if overwrite:
        return
    if part.exists():
        if not resume:
            raise UsageError(
                f"{part} is an unfinished run. Use --resume to go on with it, "
                "or --overwrite to start anew."
            )
    elif target.exists():
        what = "is finished, there is nothing to resume" if resume else "exists already"
        raise UsageError(f"{target} {what}. Use --overwrite to make it anew, or another name.")


@contextlib.contextmanager
def _named_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose another place with -o."
        ) from error


def _lock(file: BinaryIO, part: Path) -> None:
    """Refuse a second run on the same journal while the first one lives."""
    try:
        import fcntl
    except ImportError:  # no advisory locks on this system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{part} is being written by another run. Wait for it to end.") from error
    except OSError:  # a file system without locks
        return


def _difference(found: Any, expected: Any) -> str:
    """Return the first differing entry of two values, as ``then X, now Y``."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in {**found, **expected}:
            if found.get(key) != expected.get(key):
                return f"{key} then {found.get(key)!r}, now {expected.get(key)!r}"
    return f"then {found!r}, now {expected!r}"
