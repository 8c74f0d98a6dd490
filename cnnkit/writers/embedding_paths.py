"""Which image each line of an embeddings file is of: ``FILE.npy.paths.jsonl``, beside the file.

The first line is a header that says which model made the embeddings; then comes one line per
line of the file, with the image's path and the state that it had, so that changed images are known.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.results import path_fields, path_of
from cnnkit.writers.journal import MAX_LINE_BYTES
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import json_line

SUFFIX = ".paths.jsonl"
VERSION = 1
# What a line has of its row.
FIELDS = ("path", "path_base64", "frame", "time")


@dataclass(frozen=True)
class EmbeddingsOrigin:
    """What made the embeddings of a file.

    Attributes:
        model: Name of the model.
        given: What the user gave as the model.
        content_hash: A hash of its weights and of how it takes images, the same in every version.
        fit: How images were fitted to its input.
        precision: What it computed in, such as ``float32``; "" if not known.
    """

    model: str
    given: str
    content_hash: str
    fit: str
    precision: str = ""


def paths_file(embeddings: Path) -> Path:
    """Return the path of the file of paths that belongs to an embeddings file."""
    return embeddings.with_name(embeddings.name + SUFFIX)


def write_paths(
    embeddings: Path, origin: EmbeddingsOrigin, lines: Iterable[Mapping[str, Any]]
) -> None:
    """Write the file of paths.

    Args:
        embeddings: The embeddings file.
        origin: What made it.
        lines: For each of its lines what `image_line` gives.

    Raises:
        OutputError: It cannot be written.
    """
    count = 0
    with replacing(paths_file(embeddings)) as file:
        file.write(_header(origin, count))
        for line in lines:
            file.write(json_line(dict(line)).encode())
            count += 1
        file.seek(0)
        file.write(_header(origin, count))


def _header(origin: EmbeddingsOrigin, count: int) -> bytes:
    """Return the first line, as long for any number of rows: it is known only at the end."""
    known = json_line({"cnnkit_embeddings": VERSION, **asdict(origin)}).rstrip("\n}")
    return f'{known}, "rows": {count:15d}}}\n'.encode()


def image_line(row: Mapping[str, Any], began: int) -> dict[str, Any]:
    """Return the line of an image.

    Args:
        row: Its row.
        began: When the run began, in nanoseconds: a file changed since may not be the one that
            was read, so its state is not noted.
    """
    line = {name: row[name] for name in FIELDS if name in row}
    state = state_of(path_of(line))
    if state is None and "sorted_to" in row:  # it was moved there
        line = path_fields(row["sorted_to"])
        state = state_of(row["sorted_to"])
    if row.get("status") == "error":
        line["status"] = "error"
    if state is not None and state["changed"] < began:
        line |= state
    return line


def state_of(path: str) -> dict[str, int] | None:
    """Return a file's size and the time of its last change in nanoseconds; None: it is gone."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return {"bytes": status.st_size, "changed": status.st_mtime_ns}


class EmbeddingPaths:
    """The lines of a file of paths; only those that are asked for are parsed.

    Attributes:
        origin: What made the embeddings.
    """

    def __init__(self, embeddings: Path) -> None:
        """Open the file.

        Raises:
            UsageError: It is missing, or no file of paths.
        """
        self.path = paths_file(embeddings)
        try:
            with self.path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            fix = "Run classify again to write both files, and keep them together."
            rule = f"have {self.path.name} beside it"
            raise UsageError(broken_rule(str(embeddings), rule, "none", fix)) from error
        ends = np.flatnonzero(np.frombuffer(self._content, np.uint8) == ord("\n"))
        # Where each line begins, and the end of the last.
        self._starts = np.concatenate([[0], ends + 1])
        header = self._read(0)
        try:
            if header["cnnkit_embeddings"] != VERSION or header["rows"] != len(self):
                raise ValueError("another version, or lines are missing")
            names = EmbeddingsOrigin.__dataclass_fields__
            known = {"precision": ""} | header  # which earlier versions did not note
            texts = {name: known[name] for name in names}
            if not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("no texts")
        except (KeyError, ValueError) as error:
            raise self._refused() from error
        self.origin = EmbeddingsOrigin(**texts)

    def __len__(self) -> int:
        return max(0, len(self._starts) - 2)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a line by its number.

        Raises:
            UsageError: It is no line of an image.
        """
        line = self._read(index + 1)
        try:
            if "\0" in path_of(line):
                raise ValueError("a path must not contain NUL")
        except (KeyError, ValueError, TypeError) as error:
            raise self._refused() from error
        return line

    def marked(self, name: str) -> np.ndarray:
        """Return the numbers of the lines with a field that is true, int64 (n,), rising.

        The text is searched, and nothing is parsed: of a million lines, few are marked.
        """
        mark, places = f'"{name}": true'.encode(), []
        place = self._content.find(mark)
        while place >= 0:
            places.append(place)
            place = self._content.find(mark, place + len(mark))
        # A quotation mark within a text follows a backslash, so the mark is never part of one.
        return np.searchsorted(self._starts, np.array(places, np.int64), "right") - 2

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def _read(self, number: int) -> dict[str, Any]:
        try:
            start, end = map(int, self._starts[number : number + 2])
            if end - start > MAX_LINE_BYTES:
                raise ValueError("too long")
            line = json.loads(self._content[start:end])
            if not isinstance(line, dict):
                raise ValueError("no object")
            return line
        except (ValueError, RecursionError) as error:
            raise self._refused() from error

    def _refused(self) -> UsageError:
        rule = "be the paths of an embeddings file, one line each"
        fix = "Run classify again to write both files."
        return UsageError(broken_rule(str(self.path), rule, "another file", fix))
