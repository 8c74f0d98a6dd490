"""Lists and reads the members of tar files, which are never extracted.

Names are only text. A link is read if it leads to a file of the same archive, whose bytes it
shares; other links, devices and sparse members are no files, and compressed archives are not read.
Headers are read one by one and their size is bounded; the bytes of a member are read by their
offset.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.storage.files import open_file, read_range, size_of, stamp_of
from cnnkit.storage.places import Member

# Headers of one member: a name and attributes; nothing sensible comes near this size.
MAX_HEADER_BYTES = 1 << 20
DAMAGED = "the tar file is damaged after its file %d"
# Links that lead to links, as Linux follows them.
MOST_LINKS = 40
MOST_SHOWN = 200  # characters of where a link leads


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


class UnreadMember(NamedTuple):
    """A member that cannot be read, or the tar file itself, and why."""

    path: str
    error: ImageError


def members(path: str) -> Iterator[tuple[Member, BinaryIO] | UnreadMember]:
    """Yield the files in a tar file in their order, and at its damage an error.

    Args:
        path: The tar file, a path or URL.

    Yields:
        Each member with the open file, whose position may be changed; a link that leads to one
        of them has its bytes. A member that is no plain file comes with the reason, as does the
        tar file itself at its damage. Hidden names and folders are left out.

    Raises:
        OSError: The file cannot be read.
        ImageError: The same, of an object.
    """
    with open_file(path) as file:
        for one in _entries(file):
            if isinstance(one, ImageError):
                yield UnreadMember(path, one)
            elif _is_plain(one):
                yield Member(path, _name(one), one.offset_data, one.size), file
            elif not _is_link(one):
                kind = "sparse file" if one.issparse() else "device or pipe"
                error = ImageError("unreadable", f"a {kind}, not a plain file")
                yield UnreadMember(_shown(path, one), error)
            elif (linked := _index_of(path).find(path, _name(one), _targets(one))) is not None:
                yield linked, file
            else:
                target = _printed(one.linkname)[:MOST_SHOWN]
                message = f"a link to {target}, which is no file of this tar file"
                yield UnreadMember(_shown(path, one), ImageError("missing", message))


def _entries(file: BinaryIO) -> Iterator[tarfile.TarInfo | ImageError]:
    """Yield what is in a tar file, without folders and hidden names, and at its damage an error."""
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
            if one.isdir() or _is_hidden(one.name):
                continue
            count += _is_plain(one)
            yield one
        file.seek(archive.offset)
        if any(file.read(tarfile.BLOCKSIZE)):  # no end mark: `next` is silent about it
            yield ImageError("corrupt", DAMAGED % count)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError):
        yield ImageError("corrupt", DAMAGED % count if count else "not a tar file")


def _is_plain(one: tarfile.TarInfo) -> bool:
    return one.isreg() and not one.issparse()


def _is_link(one: tarfile.TarInfo) -> bool:
    return one.islnk() or one.issym()


def _targets(link: tarfile.TarInfo) -> tuple[str, ...]:
    """Return the names that the file may have in the archive to which a link leads.

    A hard link says the name as it stands there, a symbolic one where it lies from its own folder.
    """
    if link.islnk():
        return (_printed(link.linkname),)
    name = _printed(posixpath.normpath(posixpath.join(posixpath.dirname(link.name), link.linkname)))
    return name, f"./{name}"


def _shown(path: str, member: tarfile.TarInfo) -> str:
    return f"{path}!{_name(member)}"


def _name(member: tarfile.TarInfo) -> str:
    return _printed(member.name)


def _printed(name: str) -> str:
    return name.replace("\0", "\ufffd")  # no path can hold the character


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
    is_own = found.name == member.name or not is_whole or member.is_link
    return found.size == member.size and is_own


class _Index:
    """Where the bytes of each member of a tar file are, 32 bytes a member."""

    def __init__(self, path: str) -> None:
        """Read all headers once."""
        plain, links = [], []
        with open_file(path) as file:
            for one in _entries(file):
                if isinstance(one, ImageError):
                    continue
                if _is_plain(one):
                    plain.append((_key(_name(one)), one.offset_data, one.size, 0))
                elif _is_link(one):
                    links.append((_key(_name(one)), tuple(map(_key, _targets(one)))))
        self._table = _sorted(plain)
        self._follow(links)

    def _follow(self, links: list[tuple[int, tuple[int, ...]]]) -> None:
        """Give the links the places of the files that they lead to."""
        for _ in range(MOST_LINKS):
            places = [(key, self._first(targets)) for key, targets in links]
            found = [(key, *self._place(at), 1) for key, at in places if at is not None]
            links = [link for link, (_, at) in zip(links, places, strict=True) if at is None]
            if not found:
                return
            self._table = np.concatenate([self._table, _sorted(found)])
            self._table = self._table[np.argsort(self._table[:, 0], kind="stable")]

    def _place(self, at: int) -> tuple[int, int]:
        return int(self._table[at, 1]), int(self._table[at, 2])

    def _first(self, keys: Iterable[int]) -> int | None:
        """Return the row of the first of some keys that there is; of several rows the first."""
        for key in keys:
            at = int(np.searchsorted(self._table[:, 0], np.uint64(key)))
            if at < len(self._table) and self._table[at, 0] == np.uint64(key):
                return at
        return None

    def find(self, path: str, name: str, targets: Iterable[str] | None = None) -> Member | None:
        """Return the first member of a name, None if there is none.

        Args:
            path: The tar file.
            name: Of the member.
            targets: Names of the file whose bytes it has; by default its own name.
        """
        at = self._first(map(_key, (name,) if targets is None else targets))
        if at is None:
            return None
        is_link = targets is not None or bool(self._table[at, 3])
        return Member(path, name, *self._place(at), is_link=is_link)


def _sorted(rows: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return rows by their key, uint64 (n, 4); the first of a key stays the first."""
    table = np.array(rows, np.uint64).reshape(-1, 4)
    return table[np.argsort(table[:, 0], kind="stable")]


def _key(name: str) -> int:
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "big")


# The index of the tar file that was asked last: names come from rows, one file after the other.
_last: dict[str, Any] = {}
_lock = threading.Lock()


def _index_of(path: str) -> _Index:
    """Return the index of a tar file, read again if the file has changed."""
    with _lock:
        stamp = (path, stamp_of(path))
        if _last.get("stamp") != stamp:
            _last["index"] = _Index(path)
            _last["stamp"] = stamp
        index: _Index = _last["index"]
    return index


def find_member(path: str, name: str) -> Member:
    """Return the member of a tar file with a name.

    Raises:
        ImageError: There is none.
        OSError: The file cannot be read.
    """
    member = _index_of(path).find(path, name)
    if member is None:
        raise ImageError("missing", "the tar file has no such image")
    return member
