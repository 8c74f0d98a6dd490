"""Reads the bytes of an image that is no file of its own."""

from __future__ import annotations

import os
from concurrent.futures import Future

from cnnkit.storage.places import (
    PARQUET,
    Member,
    container_suffix,
    is_url,
    refuse_chains,
    split_member,
)


class Fetched(str):
    """A path whose content is being read ahead; as plain text, it is read again.

    Attributes:
        source: The path that it was made of.
    """

    source: str
    _content: Future[bytes] | None

    def __new__(cls, source: str, content: Future[bytes]) -> Fetched:
        """Return the path with its content."""
        path = super().__new__(cls, source)
        path.source, path._content = source, content
        return path

    def take(self) -> bytes | None:
        """Return the content once, so that it does not stay in memory, then None.

        Raises:
            ImageError: It cannot be read.
            OSError: The same, of a local file.
        """
        content, self._content = self._content, None
        return None if content is None else content.result()


def lies_elsewhere(path: str) -> bool:
    """Return whether an image is no file of its own; a file that has the name comes first."""
    if isinstance(path, Member | Fetched) or is_url(path):
        return True
    return "!" in path and split_member(path) is not None and not os.path.lexists(path)


def read_elsewhere(path: str, max_bytes: int) -> bytes:
    """Return the content of an image for which `lies_elsewhere` is true.

    Raises:
        ImageError: missing, unreadable, truncated, corrupt or too-large.
        OSError: A local file cannot be read.
        UsageError: A package is not installed.
    """
    if isinstance(path, Fetched):
        data = path.take()
        return data if data is not None else read_elsewhere(path.source, max_bytes)
    if isinstance(path, Member):
        return _read_member(path.file, path.name, max_bytes, path)
    refuse_chains(path)
    parts = split_member(path)
    if parts is not None:
        return _read_member(*parts, max_bytes)
    from cnnkit.storage.remote import read_object

    return read_object(path, max_bytes)


def _read_member(file: str, name: str, max_bytes: int, member: Member | None = None) -> bytes:
    if container_suffix(file) == PARQUET:
        from cnnkit.storage.parquet_files import read_row

        return read_row(file, name, max_bytes)
    from cnnkit.storage.tar_files import find_member, read_member

    return read_member(member or find_member(file, name), max_bytes)
