"""Lists and reads the members of tar files, which are never extracted.

Names are only text. A link is read if it leads to a file of the same archive, also through folders
that are links, and shares its bytes; other links, devices and sparse members are no files, and
compressed archives are not read. Headers are read one by one and their size is bounded; the bytes
of a member are read by their offset.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
import threading
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cnnkit.errors import ImageError
from cnnkit.storage.files import open_file, read_range, size_of, stamp_of
from cnnkit.storage.places import Member
from cnnkit.storage.tar_links import MOST_LINKS, LinkTexts, climbs

# Headers of one member: a name and attributes; nothing sensible comes near this size.
MAX_HEADER_BYTES = 1 << 20
DAMAGED = "the tar file is damaged after its file %d"
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
    index = None  # of this listing: another one may ask for another file's meanwhile
    with open_file(path) as file:
        for one in _entries(file):
            if isinstance(one, ImageError):
                yield UnreadMember(path, one)
            elif _is_hidden(one.name):
                continue
            elif _is_plain(one):
                yield Member(path, _name(one), one.offset_data, one.size), file
            elif not _is_link(one):
                kind = "sparse file" if one.issparse() else "device or pipe"
                error = ImageError("unreadable", f"a {kind}, not a plain file")
                yield UnreadMember(_shown(path, one), error)
            else:
                index = index or _index_of(path)
                linked = index.linked(path, one)
                yield _broken(path, one) if linked is None else (linked, file)


def _broken(path: str, link: tarfile.TarInfo) -> UnreadMember:
    """Return the error of a link that leads to no file of its archive."""
    target = _printed(link.linkname)[:MOST_SHOWN]
    message = f"a link to {target}, which is no file of this tar file"
    return UnreadMember(_shown(path, link), ImageError("missing", message))


def _entries(file: BinaryIO) -> Iterator[tarfile.TarInfo | ImageError]:
    """Yield what is in a tar file, without folders, and at its damage an error."""
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
            if one.isdir():
                continue
            count += _is_plain(one) and not _is_hidden(one.name)
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


def _climbs(link: tarfile.TarInfo) -> bool:
    """Return whether the text of a link does not say by itself where it leads."""
    return link.issym() and climbs(link.linkname)


def _targets(link: tarfile.TarInfo) -> tuple[str, str]:
    """Return the names that the file may have in the archive to which a link leads.

    A hard link says the name as it stands there, a symbolic one where it lies from its own folder.
    """
    if link.islnk():
        return _printed(link.linkname), _printed(link.linkname)
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
        plain, links, texts = [], [], LinkTexts()
        with open_file(path) as file:
            for one in _entries(file):
                if isinstance(one, ImageError):
                    continue
                if _is_plain(one):
                    plain.append((_key(_name(one)), one.offset_data, one.size, 0))
                elif _is_link(one):
                    if one.issym():
                        texts.add(_name(one), _printed(one.linkname))
                    if not _climbs(one):
                        links.append((_key(_name(one)), *map(_key, _targets(one))))
        self._set(np.array(plain, np.uint64).reshape(-1, 4))
        # By the key of a link's name and text, where the file lies to which folders lead it.
        self._through: dict[int, tuple[int, int]] = {}
        left = self._follow(np.array(links, np.uint64).reshape(-1, 3))
        if self._lead_through(texts, set(left[:, 0].tolist())):
            self._follow(left)

    def _set(self, table: np.ndarray) -> None:
        """Take rows of key, start, size, and whether it is a link, uint64 (n, 4), in any order."""
        order = np.argsort(table[:, 0], kind="stable")  # the first of a name stays the first
        self._keys, self._rest = table[order, 0], table[order, 1:]

    def _follow(self, left: np.ndarray) -> np.ndarray:
        """Give links the places of the files that they lead to.

        Args:
            left: The key of each, and those of the names that its file may have, uint64 (n, 3).

        Returns:
            Those that lead to no file, in the same form.
        """
        for _ in range(MOST_LINKS):
            at = self._first(left[:, 1:])
            leads = at >= 0
            if not leads.any():
                break
            found = np.ones((int(leads.sum()), 4), np.uint64)
            found[:, 0], found[:, 1:3] = left[leads, 0], self._rest[at[leads], :2]
            known = np.column_stack([self._keys, self._rest])
            self._set(np.concatenate([known, found]))
            left = left[~leads]
        return left

    def _lead_through(self, texts: LinkTexts, left: set[int]) -> bool:
        """Give links that lead through linked folders their places; return whether any does.

        Args:
            texts: All links.
            left: The keys of those that lead to no file by their texts alone.
        """
        found = []
        for name, target in texts:
            if _key(name) not in left and not climbs(target):
                continue
            end = texts.end_of(name, target)
            at = -1 if end is None else self._row_of(end, f"./{end}")
            if at >= 0:
                start, size, _ = map(int, self._rest[at])
                self._through[_key(f"{name}\0{target}")] = start, size
                found.append((_key(name), start, size, 1))
        if found:
            known = np.column_stack([self._keys, self._rest])
            self._set(np.concatenate([known, np.array(found, np.uint64)]))
        return bool(found)

    def _row_of(self, *names: str) -> int:
        """Return the row of the first of some names that there is, or -1."""
        return int(self._first(np.array([list(map(_key, names))], np.uint64))[0])

    def linked(self, path: str, link: tarfile.TarInfo) -> Member | None:
        """Return a link as the member that it leads to, None if there is none.

        Args:
            path: The tar file.
            link: In the file.
        """
        name = _name(link)
        through = self._through.get(_key(f"{name}\0{_printed(link.linkname)}"))
        if link.issym() and through is not None:
            return Member(path, name, *through, is_link=True)
        return None if _climbs(link) else self.find(path, name, _targets(link))

    def _first(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of the first of some keys that there is, or -1.

        Args:
            keys: uint64 (n, names), the names of one file beside each other.

        Returns:
            int64 (n,); of several rows of one name the first.
        """
        at = np.searchsorted(self._keys, keys)
        is_there = at < len(self._keys)
        is_there[is_there] = self._keys[at[is_there]] == keys[is_there]
        column = is_there.argmax(axis=1)[:, None]
        rows = np.take_along_axis(np.where(is_there, at, -1), column, axis=1)
        return rows[:, 0].astype(np.int64)

    def find(self, path: str, name: str, targets: Iterable[str] | None = None) -> Member | None:
        """Return the first member of a name, None if there is none.

        Args:
            path: The tar file.
            name: Of the member.
            targets: Names of the file whose bytes it has; by default its own name.
        """
        names = (name,) if targets is None else targets
        at = self._row_of(*names)
        if at < 0:
            return None
        start, size, is_link = map(int, self._rest[at])
        return Member(path, name, start, size, is_link=bool(is_link) or targets is not None)


def _key(name: str) -> int:
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "big")


# The index of the tar file that was asked last: names come from rows, one file after the other.
_last: dict[str, Any] = {}
_lock = threading.Lock()


def _free_lock() -> None:
    """Let a forked process go on where another thread held the lock when it was made."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_lock)


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
