"""Features kept on disk between runs, under keys that cannot go stale.

What a vector depends on is in its key: the SHA-256 of the image's content, and a hash of
everything else (the network, the preparation, the runtime and its precision, the library
versions, the augmented view). Each such hash has one SQLite file, so that old ones are removed
whole: the least recently used go first when all of them take more than `MAX_BYTES`. The one that
was just used stays, however large it is: it is what an interrupted run continues from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.runtime import cache_folder

log = logging.getLogger(__name__)

MAX_BYTES = 2 << 30
SUFFIX = ".sqlite"
TABLE = (
    "CREATE TABLE IF NOT EXISTS features "
    "(content BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"
)
BUSY_SECONDS = 10.0
KEYS_AT_ONCE = 500


def feature_key(everything: Any) -> str:
    """Return the name of what vectors depend on beside the image.

    Args:
        everything: JSON values.
    """
    text = json.dumps(everything, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class FeatureCache:
    """The vectors of one key. Where the disk refuses, it says so once and stays empty."""

    def __init__(self, key: str, folder: Path | None = None) -> None:
        """Open the cache, which need not exist.

        Args:
            key: Key returned by `feature_key`.
            folder: Where the files lie, by default ``features`` in the user's cache folder.
        """
        self._folder = folder or cache_folder() / "features"
        self._path = self._folder / f"{key}{SUFFIX}"
        self._connection: sqlite3.Connection | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._opened()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _opened(self) -> sqlite3.Connection:
        """Return a connection; a file that is no database is recreated."""
        try:
            return self._connected()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # busy, read-only, full: not broken
                raise
            self._path.unlink()
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        try:
            connection.execute(TABLE)
            connection.commit()
            os.utime(self._path)  # the time of the last use decides what is removed first
        except BaseException:  # whatever it is, nobody else could close it
            connection.close()
            raise
        return connection

    def read(self, contents: list[bytes], size: int | None = None) -> dict[bytes, np.ndarray]:
        """Return the vectors that are known.

        Args:
            contents: The SHA-256 of images, 32 bytes each.
            size: How many features a vector must have, if known.

        Returns:
            SHA-256 to float32 (features,); what is damaged is omitted.
        """
        found: dict[bytes, np.ndarray] = {}
        if self._connection is None:
            return found
        try:
            for start in range(0, len(contents), KEYS_AT_ONCE):
                asked = contents[start : start + KEYS_AT_ONCE]
                marks = ",".join("?" * len(asked))
                rows = self._connection.execute(
                    f"SELECT content, vector, checksum FROM features WHERE content IN ({marks})",
                    asked,
                )
                for content, vector, checksum in rows:
                    if _is_whole(vector, checksum, size):
                        found[content] = np.frombuffer(vector, "<f4")
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def write(self, vectors: Iterable[tuple[bytes, np.ndarray]]) -> None:
        """Keep vectors, all of them or none: a killed run leaves whole ones only.

        Args:
            vectors: SHA-256 and float32 (features,), finite.
        """
        if self._connection is None:
            return
        rows = []
        for content, vector in vectors:
            stored = np.ascontiguousarray(vector, "<f4").tobytes()
            rows.append((content, stored, zlib.crc32(stored)))
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?,?,?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("%s: features are not kept for later runs: %s.", self._path, error)
        self.close()

    def close(self) -> None:
        """Close the file and remove the oldest ones where all take too much room."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            trim(self._folder, kept=self._path)


def _is_whole(vector: bytes, checksum: int, size: int | None) -> bool:
    fits = len(vector) % 4 == 0 and (size is None or len(vector) == 4 * size)
    return fits and zlib.crc32(vector) == checksum


def trim(folder: Path, max_bytes: int = MAX_BYTES, kept: Path | None = None) -> None:
    """Remove the least recently used files until the rest takes at most `max_bytes`.

    Args:
        folder: Folder of the cache.
        max_bytes: What all files together may take.
        kept: A file that stays, or None.
    """
    files = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files, key=lambda entry: entry[0]):
        if total <= max_bytes:
            return
        with contextlib.suppress(OSError):
            if path != kept:
                path.unlink()
                total -= size
