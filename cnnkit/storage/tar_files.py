"""Lists and reads the members of tar files, which are never extracted.

Names are only text. Links, devices, sparse members and compressed archives are not read. Headers
are read one by one and their size is bounded; the bytes of a member are read by their offset.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.storage.files import open_file, read_range, size_of, stamp_of
from cnnkit.storage.places import Member

# Headers of one member: a name and attributes; nothing sensible comes near this size.
MAX_HEADER_BYTES = 1 << 20
DAMAGED = "the tar file is damaged after its file %d"


class _Headers:
    """A file that gives no more than `MAX_HEADER_BYTES` until it is told that a member was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        """Read as a file does.

        Raises:
            tarfile.ReadError: The headers of this member are too long.
        """
        self.left -= size
        if size < 0 or self.left < 0:
            raise tarfile.ReadError("endless header")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Seek as a file does."""
        return self._file.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


def members(path: str) -> Iterator[tuple[Member, BinaryIO] | ImageError]:
    """Yield the regular files in a tar file in their order, and at its damage an error.

    Args:
        path: The tar file, a path or URL.

    Yields:
        Each member with the open file, whose position may be changed. Hidden names, links,
        devices and sparse members are left out.

    Raises:
        OSError: The file cannot be read.
        ImageError: The same, of an object.
    """
    with open_file(path) as file:
        size, count = size_of(file), 0
        if size == 0:
            yield ImageError("empty", "the file has no content (0 bytes)")
            return
        file.seek(0)
        headers, end = _Headers(file), -1
        try:
            archive: Any = tarfile.TarFile(fileobj=headers, mode="r")  # type: ignore[arg-type]
            while (one := archive.next()) is not None:
                if one.size < 0 or archive.offset <= end:  # would lead back for ever
                    raise tarfile.ReadError("a circle")
                end, headers.left = archive.offset, MAX_HEADER_BYTES
                archive.members.clear()  # else all names would stay in memory
                if not one.isreg() or one.issparse() or _is_hidden(one.name):
                    continue
                count += 1
                yield Member(path, _name(one), one.offset_data, one.size), file
            file.seek(archive.offset)
            if any(file.read(tarfile.BLOCKSIZE)):  # no end mark: `next` is silent about it
                yield ImageError("corrupt", DAMAGED % count)
        except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError):
            yield ImageError("corrupt", DAMAGED % count if count else "not a tar file")


def _name(member: tarfile.TarInfo) -> str:
    return member.name.replace("\0", "\ufffd")  # no path can hold the character


def _is_hidden(name: str) -> bool:
    """Return whether a name is hidden, or was put there by the system that made the archive."""
    parts = name.split("/")
    hidden = (part.startswith(".") and part not in (".", "..") for part in parts)
    return "__MACOSX" in parts or any(hidden)


def read_member(member: Member, max_bytes: int) -> bytes:
    """Return the content of a member.

    Raises:
        ImageError: It is too large, or the tar file ends early.
        OSError: The file cannot be read.
    """
    if member.size > max_bytes:
        message = f"the file has {member.size:,} bytes, the limit is {max_bytes:,}"
        raise ImageError("too-large", message)
    first = max(0, member.start - tarfile.BLOCKSIZE)
    data = read_range(member.file, first, member.start + member.size)
    header, content = data[: tarfile.BLOCKSIZE], data[tarfile.BLOCKSIZE :]
    if len(header) == tarfile.BLOCKSIZE and not _is_header_of(header, member):
        with _lock:
            _last.clear()  # of an object it is not known when it changes
        raise ImageError("unreadable", "the tar file has changed since its images were listed")
    if len(content) < member.size:
        raise ImageError("truncated", "the tar file ends before the image does")
    return content[: member.size]


def _is_header_of(block: bytes, member: Member) -> bool:
    """Return whether a block is the header of a member, whose bytes follow it.

    A name that is long or not ASCII stands whole in headers before this one only.
    """
    try:
        found = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    is_whole = member.name.isascii() and len(member.name) < tarfile.LENGTH_NAME
    return found.size == member.size and (found.name == member.name or not is_whole)


class _Index:
    """Where each member of a tar file is, 24 bytes a member."""

    def __init__(self, path: str) -> None:
        """Read all headers once."""
        found = [
            (_key(one[0].name), one[0].start, one[0].size)
            for one in members(path)
            if not isinstance(one, ImageError)
        ]
        table = np.array(found, np.uint64).reshape(-1, 3)
        self._table = table[np.argsort(table[:, 0], kind="stable")]  # the first of a name counts

    def find(self, path: str, name: str) -> Member | None:
        """Return the first member of a name, None if there is none."""
        key = np.uint64(_key(name))
        at = int(np.searchsorted(self._table[:, 0], key))
        if at == len(self._table) or self._table[at, 0] != key:
            return None
        return Member(path, name, int(self._table[at, 1]), int(self._table[at, 2]))


def _key(name: str) -> int:
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "big")


# The index of the tar file that was asked last: names come from rows, one file after the other.
_last: dict[str, Any] = {}
_lock = threading.Lock()


def find_member(path: str, name: str) -> Member:
    """Return the member of a tar file with a name.

    Raises:
        ImageError: There is none.
        OSError: The file cannot be read.
    """
    with _lock:
        stamp = (path, stamp_of(path))
        if _last.get("stamp") != stamp:
            _last["index"] = _Index(path)
            _last["stamp"] = stamp
        member: Member | None = _last["index"].find(path, name)
    if member is None:
        raise ImageError("missing", "the tar file has no such image")
    return member
