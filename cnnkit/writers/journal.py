"""The journal of a folder job: rows are appended one by one and finished atomically.

Rows are appended to ``FILE.part`` as JSON Lines after one header line; FILE is then written from
it in the format of its suffix. A killed run leaves complete rows and at most one truncated line,
which `Journal.open` removes. Rows that come fast are written some at a time: each write costs a
few calls of the system, each of which waits for Python's lock.

The file is locked before it is truncated or written. Its content is untrusted: every line must be
a row of one of this run's inputs.

A run that ends without being finished leaves `INTERRUPTED` as the last line, JSON as the header is,
so that the file stays valid. Where that is missing, its process died: `Journal.died`.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cnnkit.errors import ImageError, OutputError, UsageError, broken_rule
from cnnkit.results import key_of, path_of
from cnnkit.writers.locking import is_at, open_locked
from cnnkit.writers.row_files import json_line

# Version 2 of the rows has `class_id`, and every `box` is left, top, width, height.
SCHEMA_VERSION = 2
# No valid row comes near this length; a longer line is refused before it is read.
MAX_LINE_BYTES = 1 << 26
# Of a text: `json.loads` takes half as long again, and a resumed run waits for all rows.
DECODE = json.JSONDecoder().decode
# Of a text and where a value begins: the value and its end. Nothing is looked for around it.
SCAN: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
# A killed run loses the results of so many seconds and rows at most.
SECONDS_UNSAVED = 0.1
ROWS_UNSAVED = 16
# The kind of error of what has ended a process.
CRASHED = "crashed"
# What a run leaves behind its rows that was stopped by an error or by the user, and not killed.
INTERRUPTED = b'{"cnnkit_journal": "interrupted"}\n'
# Errors that reading an untrusted row may raise. Others are faults of this program: nobody is told
# to throw rows away for those.
MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    csv.Error,
)


def _digest(path: str) -> int:
    """Return an 8-byte hash of a path, the same in every process."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _built_in(path: str) -> int:
    """Return Python's own 8-byte hash of a path, in a tenth of the time.

    It is one of the bytes of the text in memory. Two texts may have the same if their characters
    take one byte each in one and two in the other; but then they differ in length.
    """
    return hash((str.__hash__(path), len(path)))


# An 8-byte hash of a path, so that a million of them fit into memory. It means nothing to another
# process. Python's own is as good where it is SipHash, of 8 bytes.
_STRONG = sys.hash_info.algorithm.startswith("siphash") and sys.hash_info.width == 64
path_key: Callable[[str], int] = _built_in if _STRONG else _digest


# With one of them, the key of a row is not just that of its path; see `key_of`.
_UNUSUAL = frozenset({"path_base64", "frame"})


class Journal:
    """The rows of an unfinished run.

    Attributes:
        target: The finished file's path.
        part: The journal's path.
        count: Number of rows in the journal, including replaced ones.
        size: Bytes of all its saved lines.
        statuses: How many final rows are ``ok`` and ``error``.
        is_new: Whether no earlier run has begun it.
        died: Whether the process of the earlier run died.
        before_saving: Saves what must be there before the rows are.
    """

    def __init__(self, target: Path, file: BinaryIO) -> None:
        self.target = target
        self.part = part_path(target)
        self.count = 0
        self.statuses = {"ok": 0, "error": 0}
        self.is_new = True
        self.died = False
        self._file = file
        self._done: set[int] = set()
        # By journal index, the index of the later row of the same path that replaces it.
        self._replaced: dict[int, int] = {}
        # Journal index of each failed row, by the key of its input, which may be retried.
        self._failed: dict[int, int] = {}
        # Of what has ended a process: the keys of its rows, and of its files.
        self._crashed: set[int] = set()
        self._crashed_files: set[int] = set()
        # Offset of each row of an earlier run, until this run reaches its input.
        self._unmet: dict[int, int] = {}
        self.size = 0
        self._checksum = 0
        self.before_saving: Callable[[], None] | None = None
        self._unsaved: list[str] = []
        self._saved_at = -math.inf

    @classmethod
    def open(
        cls,
        target: Path,
        header: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        retry_errors: bool = False,
        check: Callable[[dict[str, Any]], Any] | None = None,
    ) -> Journal:
        """Start a journal, or resume one.

        Args:
            target: The finished file.
            header: The model and options, which must be the same in a resumed run.
            resume: Continue an interrupted run.
            overwrite: Start over, even if a file exists.
            retry_errors: When resuming, retry inputs that failed.
            check: Called with each row of an earlier run; the row is refused if it raises.

        Raises:
            UsageError: A file already exists, another run is writing it, or the run to resume
                had other settings.
            OutputError: The file cannot be written.
        """
        part = part_path(target)
        _check_free(target, part, resume, overwrite)
        header = {"cnnkit_journal": SCHEMA_VERSION, **header}
        with _named_failure(part):
            try:
                file = open_locked(part, new=not (resume or overwrite))
            except FileExistsError:  # created since the check above
                raise _unfinished(part) from None
        journal = cls(target, file)
        try:
            if not overwrite and target.exists():  # another run has just finished it
                if not os.path.getsize(part):
                    part.unlink()
                _check_free(target, part, resume, overwrite)
            if resume:
                journal._read(header, retry_errors, check)
            elif os.path.getsize(part):
                file.truncate(0)
            journal.is_new = journal.size == 0
            if journal.is_new:
                journal._write(json_line(header))
        except BaseException:  # whatever it is, nobody else could close it
            journal.close()
            raise
        return journal

    def _read(
        self,
        header: dict[str, Any],
        retry_errors: bool,
        check: Callable[[dict[str, Any]], Any] | None,
    ) -> None:
        """Read the rows of an earlier run and remove what is no row behind them."""
        for number, line in enumerate(bounded_lines(self._file, self.part)):
            self.died = line != INTERRUPTED
            if not self.died or not line.endswith(b"\n"):
                break
            if number == 0:
                self._check_header(line, header)
            else:
                self._take_in(line, retry_errors, check)
            self._note(line)
        with _named_failure(self.part):
            self._file.truncate(self.size)
            self._file.seek(self.size)

    def _note(self, line: bytes) -> None:
        """Update the expected size and checksum of the file."""
        self.size += len(line)
        self._checksum = zlib.crc32(line, self._checksum)

    def _take_in(
        self, line: bytes, retry_errors: bool, check: Callable[[dict[str, Any]], Any] | None
    ) -> None:
        row, key = self._parse(line, check)
        if key in self._unmet and key not in self._failed:
            raise self._no_row(line, "two rows for one input")
        self._enter(row)
        self._unmet[key] = self.size
        if row["status"] == "ok" or not retry_errors:
            self._done.add(key)

    def _enter(self, row: dict[str, Any]) -> None:
        """Count a row and record which earlier failure it replaces."""
        if self._failed or row["status"] == "error":
            key = path_key(key_of(row))
            if key in self._failed:
                self._replaced[self._failed.pop(key)] = self.count
                self.statuses["error"] -= 1
            self._crashed.discard(key)
            if row["status"] == "error":
                self._failed[key] = self.count
                if row["error"]["kind"] == CRASHED:
                    self._crashed.add(key)
                    self._crashed_files.add(path_key(path_of(row) if "path" in row else ""))
        self.statuses[row["status"]] += 1
        self.count += 1

    def _parse(
        self, line: bytes, check: Callable[[dict[str, Any]], Any] | None = None
    ) -> tuple[dict[str, Any], int]:
        """Return a row and its input's key."""
        try:
            row = _decoded(line.decode("utf-8"))
            key = check_row(row)
            if check is not None:
                check(row)
            return row, key
        except UsageError:
            raise
        except MALFORMED as error:
            raise self._no_row(line, f"{line[:60]!r}") from error

    def _no_row(self, line: bytes, received: str) -> UsageError:
        return UsageError(
            f"{self.part} must hold rows of cnnkit. Received: {received}. "
            "Use `overwrite=True` to start over."
        )

    def _check_header(self, line: bytes, header: dict[str, Any]) -> None:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "cnnkit_journal" not in found:
            raise UsageError(
                f"{self.part} must be the journal of an unfinished run. "
                "Received: another file. Move it away, or use `overwrite=True`."
            )
        if found["cnnkit_journal"] != SCHEMA_VERSION:
            raise UsageError(
                f"{self.part} must hold rows of schema version {SCHEMA_VERSION}. Received: "
                f"version {str(found['cnnkit_journal'])[:20]}, of another cnnkit. Use "
                "`overwrite=True` to start over."
            )
        expected = json.loads(json_line(header))
        for key in {**expected, **found}:
            if found.get(key) != expected.get(key):
                raise UsageError(
                    f"`resume` requires the same {key}. Received: "
                    f"{first_difference(found.get(key), expected.get(key))}. "
                    "Run the same command again, or use `overwrite=True` to start over."
                )

    def is_done(self, path: str) -> bool:
        """Return whether an earlier run has already written this input's row."""
        return bool(self._done) and path_key(path) in self._done

    def status_of(self, path: str) -> str | None:
        """Return the status of this input's row from an earlier run, None if it has none.

        That is `CRASHED` for an error of that kind.
        """
        if not self.is_done(path):
            return None
        key = path_key(path)
        return CRASHED if key in self._crashed else "error" if key in self._failed else "ok"

    def has_crashed(self, path: str) -> bool:
        """Return whether a file, or a frame of it, has ended a process of an earlier run."""
        return bool(self._crashed_files) and path_key(path) in self._crashed_files

    def meet(self, path: str) -> tuple[int | None, bool]:
        """Tell of an input whether an earlier run has written its row.

        Returns:
            The offset of that row on the first call, else None; and `is_done`.
        """
        if not self._unmet and not self._done:
            return None, False
        key = path_key(path)
        return self._unmet.pop(key, None), key in self._done

    def unmet(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of an earlier run whose inputs this run has not reached."""
        return map(self.row_at, list(self._unmet.values()))

    def row_at(self, start: int) -> dict[str, Any]:
        """Return the row at an offset returned by `meet`.

        Raises:
            UsageError: It is no longer a row.
        """
        with self.part.open("rb") as file:
            file.seek(start)
            return self._parse(file.readline(MAX_LINE_BYTES))[0]

    def append(self, row: dict[str, Any]) -> None:
        """Add one row; it survives a kill once it is saved.

        At once, unless a row was saved within `SECONDS_UNSAVED`: rows that come faster are saved
        together, at most `ROWS_UNSAVED` of them.

        Raises:
            OutputError: It cannot be written, for instance because the disk is full.
        """
        self._unsaved.append(json_line(row))
        self._enter(row)
        late = time.monotonic() - self._saved_at >= SECONDS_UNSAVED
        if late or len(self._unsaved) >= ROWS_UNSAVED:
            self.save()

    def save(self) -> None:
        """Write what was added, and flush it to the operating system.

        Raises:
            OutputError: See `append`.
        """
        if self._unsaved:
            if self.before_saving is not None:
                self.before_saving()
            lines, self._unsaved = self._unsaved, []
            self._write("".join(lines), self.count - len(lines))
            self._saved_at = time.monotonic()

    def _write(self, lines: str, saved: int = 0) -> None:
        content = lines.encode("utf-8")
        self._check_unchanged()
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.part} cannot be written: {error.strerror or error}. {saved} rows are "
                "saved in it: fix the cause, then run the same command with `resume=True`."
            ) from error
        self._note(content)

    def _check_unchanged(self) -> None:
        """Refuse to append to a file that another program truncated, replaced or removed."""
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size != self.size or not is_at(descriptor, self.part):
            raise self._changed()

    def _changed(self) -> OutputError:
        return OutputError(
            f"{self.part} was changed by another program while it was written: rows are lost. "
            "Run the same command with `overwrite=True`."
        )

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the final rows in input order, each with its index in the journal.

        A retried row takes the place of the failure that it replaces.
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
        """Yield every row, and verify that no other program has changed the file.

        Raises:
            OutputError: It was changed, or cannot be written.
        """
        self.save()
        self._check_unchanged()
        checksum = 0
        with self.part.open("rb") as file:
            for index, line in enumerate(bounded_lines(file, self.part), start=-1):
                checksum = zlib.crc32(line, checksum)
                if index >= 0:
                    try:
                        yield index, json.loads(line)
                    except ValueError as error:
                        raise self._changed() from error
        if checksum != self._checksum:
            raise self._changed()

    def note_interruption(self) -> None:
        """Note behind the rows that the run is stopped, and did not die."""
        with contextlib.suppress(OSError, OutputError):
            self.save()
        with contextlib.suppress(OSError):
            if not self._file.closed and os.fstat(self._file.fileno()).st_size == self.size:
                self._file.write(INTERRUPTED)
                self._file.flush()

    def close(self) -> None:
        """Close the file; the journal is kept for a later ``resume``."""
        with contextlib.suppress(OSError, OutputError):
            if not self._file.closed:
                self.save()
        with contextlib.suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Remove the journal after everything made from it is finished."""
        try:
            self.part.unlink(missing_ok=True)  # while it is still locked
            self.close()
        except PermissionError:  # Windows does not remove open files
            self.close()
            self.part.unlink(missing_ok=True)


def bounded_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the lines of a file without reading more than `MAX_LINE_BYTES` at once.

    Raises:
        UsageError: A line is longer.
    """
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise UsageError(f"{path} must hold rows of cnnkit. Received: an endless line.")
        yield line


def _decoded(line: str) -> Any:
    """Return the value that a line holds, in two thirds of the time if it was written by us.

    Raises:
        ValueError: It holds none, or anything else besides.
    """
    try:
        value, end = SCAN(line, 0)
    except StopIteration:
        return DECODE(line)  # it says what is wrong
    # Ours end right behind the value; what follows another's is looked at.
    return value if end == len(line) - 1 and line[end] == "\n" else DECODE(line)


def check_row(row: Any) -> int:
    """Check the fields that every row has.

    Returns:
        The `path_key` of its input.

    Raises:
        ValueError: A field is invalid; or KeyError or TypeError, if it is missing or has another
            type.
    """
    if type(row) is dict and row.get("status") == "ok" and row.keys().isdisjoint(_UNUSUAL):
        path = row.get("path")
        if type(path) is str and path and "\0" not in path:  # nearly all rows, in half of the time
            return path_key(path)
    names = ("path",) if "path" in row else ("a", "b")
    if not all(isinstance(row[name], str) and row[name] for name in names):
        raise ValueError("paths must be strings")
    if "path" in row and "\0" in path_of(row):
        raise ValueError("a path must not contain NUL")
    if "frame" in row and (type(row["frame"]) is not int or row["frame"] < 0):
        raise ValueError("a frame must have a number")
    key = path_key(key_of(row))
    if row["status"] == "error":
        if row["error"]["kind"] not in ImageError.KINDS or not isinstance(
            row["error"]["message"], str
        ):
            raise ValueError("an unknown error")
    elif row["status"] != "ok":
        raise ValueError("an unknown status")
    return key


def part_path(target: Path) -> Path:
    """Return the path of the unfinished file next to the finished one."""
    return target.with_name(target.name + ".part")


def _check_free(target: Path, part: Path, resume: bool, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError(broken_rule("`output`", "name a file", f"the folder {target}"))
    if not target.parent.is_dir():
        raise UsageError(
            broken_rule(
                "`output`", "be in an existing folder", target, f"Make {target.parent} first."
            )
        )
    if overwrite:
        return
    if part.exists():
        if not resume:
            raise _unfinished(part)
    elif target.exists():
        what = "is complete; there is nothing to resume" if resume else "exists already"
        raise UsageError(f"{target} {what}. Use `overwrite=True` to overwrite it, or another name.")


@contextlib.contextmanager
def _named_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. "
            "Choose another place with `output`."
        ) from error


def _unfinished(part: Path) -> UsageError:
    return UsageError(
        f"{part} is an unfinished run. "
        "Use `resume=True` to resume it, or `overwrite=True` to start over."
    )


def first_difference(found: Any, expected: Any, form: str = "then {}, now {}") -> str:
    """Return the first differing entry of two values, as ``then X, now Y``."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in {**found, **expected}:
            if found.get(key) != expected.get(key):
                return f"{key} {form.format(repr(found.get(key)), repr(expected.get(key)))}"
    return form.format(repr(found), repr(expected))
