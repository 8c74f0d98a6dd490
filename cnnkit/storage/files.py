"""Opens and reads parts of files that may be local or remote."""

from __future__ import annotations

import os
from typing import BinaryIO

from cnnkit.storage import remote
from cnnkit.storage.places import is_url


def open_file(path: str) -> BinaryIO:
    """Return a file or an object, opened for reading at any position.

    Raises:
        OSError: It cannot be opened.
        ImageError: The same, of an object.
    """
    return remote.open_object(path) if is_url(path) else open(path, "rb")


def read_range(path: str, start: int, end: int) -> bytes:
    """Return the bytes of a file or object from `start` to before `end`, fewer at its end.

    Raises:
        OSError: It cannot be read.
        ImageError: The same, of an object.
    """
    if is_url(path):
        return remote.read_range(path, start, end)
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        blocks = []
        while start < end and (block := file.read(end - start)):
            blocks.append(block)
            start += len(block)
    return b"".join(blocks)


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes; the position is then its end."""
    return file.seek(0, os.SEEK_END)


def stamp_of(path: str) -> object:
    """Return what differs once a local file was changed; of an object, None.

    Raises:
        OSError: There is no such file.
    """
    if is_url(path):
        return None
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino
