"""The finished shards of a run, one file each, which gets its name when it is complete.

A part begins with a line that says what it holds; then come its rows as JSON Lines, and the
features of each row, float32. Parts are untrusted like a journal: every row must be one of the
shard's inputs.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.cluster.plan import PLAN_NAME
from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.images import Found
from cnnkit.results import key_of
from cnnkit.writers.journal import MALFORMED, bounded_lines, check_row
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import json_line

PART_VERSION = 1
BLOCK_BYTES = 1 << 20
# What this program calls the files in a folder of parts, those of a killed run included.
OWN_FILE = re.compile(rf"\d{{8}}\.part|{re.escape(PLAN_NAME)}|\.cnnkit-[0-9a-f]{{16}}\.part")

# A row and its features, float32 (n,), or None.
Made = tuple[dict[str, Any], np.ndarray | None]


class MadeRows(NamedTuple):
    """The rows of some inputs, as a worker returns them.

    Attributes:
        text: The rows, JSON Lines.
        features: float32 (rows, width); the width is 0 where there are none.
        errors: Number of rows that are errors.
    """

    text: bytes
    features: np.ndarray
    errors: int


def packed(made: Iterable[Made]) -> MadeRows:
    """Return rows and their features together; an input without features has NaN."""
    lines: list[bytes] = []
    features: list[np.ndarray | None] = []
    errors = 0
    for row, vector in made:
        lines.append(json_line(row).encode())
        features.append(vector)
        errors += row["status"] == "error"
    width = max((len(one) for one in features if one is not None), default=0)
    array = np.full((len(lines), width), np.nan, np.float32)
    for number, vector in enumerate(features):
        if vector is not None:
            array[number] = vector
    return MadeRows(b"".join(lines), array, errors)


def joined(pieces: Sequence[MadeRows]) -> MadeRows:
    """Return the rows of several pieces, one after the other."""
    width = max(one.features.shape[1] for one in pieces)
    features = [
        one.features
        if one.features.shape[1] == width
        else np.full((len(one.features), width), np.nan, np.float32)
        for one in pieces
    ]
    text = b"".join(one.text for one in pieces)
    return MadeRows(text, np.concatenate(features), sum(one.errors for one in pieces))


class _PartHead(NamedTuple):
    """What the first line of a part says, and where its rows begin."""

    start: int
    rows: int
    text: int
    width: int
    errors: int


class PartFolder:
    """The folder ``FILE.parts``.

    Attributes:
        needs_journal: Whether the parts belong to a journal: without it they are of another run.
    """

    needs_journal = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = ""  # of the plan: parts of other plans count for nothing

    @property
    def plan(self) -> Path:
        """The path of the plan."""
        return self.folder / PLAN_NAME

    def find_plan(self) -> bool:
        """Return whether there is a plan."""
        return self.plan.is_file()

    def publish(self) -> None:
        """Leave the plan where it is."""

    def check_run(self) -> None:
        """Take any name of a plan."""

    def end(self) -> None:
        """Remove everything, once all is made from it."""
        self.clear()

    def close(self) -> None:
        """Leave everything for a run that is resumed."""

    def make(self) -> None:
        """Make the folder.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.folder} cannot be created: {reason}.") from error

    def clear(self) -> None:
        """Remove the plan and all parts, and the folder if nothing else is in it."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if OWN_FILE.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.part"

    def commit(self, number: int, made: MadeRows) -> None:
        """Write the part of a shard; it gets its name in one step.

        Raises:
            OutputError: It cannot be written.
        """
        features = np.ascontiguousarray(made.features, "<f4").tobytes()
        head = {
            "cnnkit_part": PART_VERSION,
            "run": self.run,
            "rows": len(made.features),
            "text": len(made.text),
            "width": made.features.shape[1],
            "errors": made.errors,
            "checksum": zlib.crc32(features, zlib.crc32(made.text)),
        }
        with replacing(self._path(number)) as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(made.text)
            file.write(features)

    def holds(self, number: int, inputs: Sequence[Found], retry_errors: bool) -> bool:
        """Return whether a killed run has left a part that has a row for each of the inputs.

        Args:
            number: The shard.
            inputs: Those that have no row yet.
            retry_errors: A part with errors is to be made again.
        """
        if not self._path(number).is_file():
            return False
        try:
            head = self._head(number)
            if head is None or (retry_errors and head.errors):
                return False
            return sum(1 for _ in self.read(number, inputs)) == len(inputs)
        except UsageError:  # cut off by a full disk, or whatever else: it can be made again
            return False

    def read(self, number: int, inputs: Sequence[Found] | None) -> Iterator[Made]:
        """Yield the rows of those inputs that the part has, in their order.

        Args:
            number: The shard.
            inputs: Inputs of the shard, in order; None: all that the part has.

        Raises:
            UsageError: It is not the part that was written.
        """
        path = self._path(number)
        head = self._head(number)
        if head is None:
            raise self._refused(path)
        keys = iter([found.key for found in inputs or ()])
        wanted = next(keys, None)
        try:
            with path.open("rb") as lines, path.open("rb") as rest:
                lines.seek(head.start)
                rest.seek(head.start + head.text)
                # The range comes first: what follows the last row are no lines.
                for _, line in zip(range(head.rows), bounded_lines(lines, path), strict=False):
                    vector = np.frombuffer(rest.read(4 * head.width), "<f4")
                    row = json.loads(line)
                    check_row(row)
                    if inputs is None or key_of(row) == wanted:
                        wanted = next(keys, None)
                        yield row, vector if head.width and row["status"] == "ok" else None
        except (OSError, *MALFORMED) as error:
            raise self._refused(path) from error

    def _head(self, number: int) -> _PartHead | None:
        """Return what a part says of itself; None if it is of another plan, or was changed.

        Raises:
            UsageError: It cannot be read.
        """
        path = self._path(number)
        try:
            with path.open("rb") as file:
                line = next(bounded_lines(file, path), b"")
                found = json.loads(line)
                names = ("rows", "text", "width", "errors", "checksum")
                numbers = [found[name] for name in names]
                if not all(type(one) is int and one >= 0 for one in numbers):
                    return None
                rows, text, width, errors, checksum = numbers
                file.seek(0, 2)
                right = file.tell() == len(line) + text + 4 * rows * width
                if found["cnnkit_part"] != PART_VERSION or found["run"] != self.run or not right:
                    return None
                file.seek(len(line))
                actual = 0
                while block := file.read(BLOCK_BYTES):
                    actual = zlib.crc32(block, actual)
            return _PartHead(len(line), rows, text, width, errors) if actual == checksum else None
        except (OSError, *MALFORMED) as error:
            raise self._refused(path) from error

    def _refused(self, path: Path) -> UsageError:
        fix = "Use `overwrite=True` to start over."
        return UsageError(broken_rule(str(path), "be as this run wrote it", "another file", fix))
