"""Lists folders in one stable order and expands patterns in the same order, lazily."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Iterator

# Folders that archives, network drives and operating systems leave among images without hiding
# them. Some hold thumbnails.
LEFT_BEHIND = {
    *("__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found", "__pycache__"),
    *("System Volume Information", "Thumbs.db", "desktop.ini"),
}

# What an entry of a folder is, links followed.
FOLDER, FILE, OTHER = "folder", "file", "other"


def is_left_behind(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or was created by the system."""
    return name.startswith(".") or name in LEFT_BEHIND


def enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    """Return whether a folder is new, by device and inode, and remember it."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True


def _kind_of(entry: os.DirEntry[str]) -> str:
    """Return `FOLDER`, `FILE`, or `OTHER`, without a call to the system if it is no link."""
    try:
        return FILE if entry.is_file() else FOLDER if entry.is_dir() else OTHER
    except OSError:
        return OTHER


def entries(folder: str) -> Iterator[tuple[str, str]]:
    """Return the paths in a folder and what each is: `FOLDER`, `FILE`, or `OTHER`.

    `OTHER` is also a link that leads nowhere.

    Raises:
        OSError: The folder cannot be listed.
    """
    others: dict[str, str] = {}  # what is no file; nearly all are
    names = []
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            name = entry.name
            if is_left_behind(name):
                continue
            names.append(name)
            kind = _kind_of(entry)
            if kind != FILE:
                others[name] = kind
    names.sort()
    prefix = os.path.join(folder, "")
    return ((prefix + name, others.get(name, FILE)) for name in names)


def expand_pattern(pattern: str, is_excluded: Callable[[str], bool]) -> Iterator[str]:
    """Yield the paths that a pattern matches, as the shell would, but lazily and in order.

    Args:
        pattern: With ``*``, ``?``, ``[...]``; a part ``**`` stands for any depth of folders, and
            the very name of a folder for that folder: ``photos [1]/*.jpg``. Hidden names are
            matched only if written out.
        is_excluded: Function that returns whether to skip a folder.
    """
    drive, rest = os.path.splitdrive(pattern)
    root = drive + (os.sep if rest.startswith(os.sep) else "")
    parts = [part for part in rest.split(os.sep) if part]
    return _matches(root, parts, is_excluded)


def _matches(base: str, parts: list[str], is_excluded: Callable[[str], bool]) -> Iterator[str]:
    """Yield the paths below ``base`` that match the remaining parts of a pattern."""
    if not parts:
        if not is_excluded(base):
            yield base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matches_at_any_depth(base, rest, is_excluded)
    elif glob.has_magic(part) and not (rest and os.path.isdir(os.path.join(base, part))):
        for path, _ in _listed(base):
            name = os.path.basename(path)
            if fnmatch.fnmatchcase(name, part):
                yield from _matches(path, rest, is_excluded)
    elif os.path.lexists(os.path.join(base, part)):
        yield from _matches(os.path.join(base, part), rest, is_excluded)


def _matches_at_any_depth(
    base: str, rest: list[str], is_excluded: Callable[[str], bool]
) -> Iterator[str]:
    """Yield what matches after a ``**``, here and in every folder below, entering each once."""
    if not rest:
        yield base or "."
        return
    entered: set[tuple[int, int]] = set()
    pending = [iter([base])]
    while pending:
        folder = next(pending[-1], None)
        if folder is None:
            pending.pop()
        elif not is_excluded(folder) and _can_enter(folder, entered):
            yield from _matches(folder, rest, is_excluded)
            pending.append(path for path, kind in _listed(folder) if kind == FOLDER)


def _can_enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    try:
        return enter(folder or ".", entered)
    except OSError:
        return False


def _listed(folder: str) -> Iterator[tuple[str, str]]:
    """Return the entries of a folder, none if it cannot be listed."""
    try:
        return entries(folder)
    except OSError:
        return iter(())
