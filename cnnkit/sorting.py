"""Putting images into folders by class: safe names, no collision, nothing half done."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from cnnkit.errors import OutputError
from cnnkit.names import is_safe, is_unsafe, normal_name

UNKNOWN_FOLDER = "_unknown"
ERRORS_FOLDER = "_errors"
HOW = ("copy", "link", "move")
MAX_NAME_BYTES = 100
# What nearly every file system takes.
MAX_FILE_NAME_BYTES = 255
MAX_SUFFIX_BYTES = 16
# What no common file system takes in a name, or gives a meaning to.
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
UNFINISHED = ".cnnkit-unfinished"


def folder_name(label: str) -> str:
    """Return a folder's name for a label: never a path, never hidden, never one of our own.

    Args:
        label: Any text, such as ``../etc`` or ``a/b``.

    Returns:
        A name of at most 100 bytes without separators, leading dots or underscores. A label
        of which nothing is left gets a name from its hash.
    """
    name = unicodedata.normalize("NFC", label)
    name = name if is_safe(name) else "".join(c for c in name if not is_unsafe(c))
    name = FORBIDDEN.sub("-", name).strip(" .").lstrip("_. ")
    name = cut(name, MAX_NAME_BYTES)
    if RESERVED.match(name):
        name = f"{name}-"
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return name.rstrip(" .") or f"label-{digest}"


def folder_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return a folder's name for each class of a model, no two the same on any file system.

    A class whose label is a folder's name as it stands keeps it; one whose name would be
    another's too gets its number behind it.

    Args:
        labels: The model's, in its order.
    """
    names = [folder_name(label) for label in labels]
    owners: dict[str, int] = {}
    order = sorted(range(len(labels)), key=lambda i: (names[i] != normal_name(labels[i]), i))
    for index in order:
        owners.setdefault(names[index].casefold(), index)
    taken = set(owners)
    for index, name in enumerate(names):
        if owners[name.casefold()] != index:
            names[index] = _numbered(name, index, taken)
            taken.add(names[index].casefold())
    return tuple(names)


def _numbered(name: str, index: int, taken: set[str]) -> str:
    """Return a name with a class's number behind it that is not taken."""
    mark = f"-{index}"
    while True:
        candidate = cut(name, MAX_NAME_BYTES - len(mark)).rstrip(" .") + mark
        if candidate.casefold() not in taken:
            return candidate
        mark = f"-{index}{mark}"


def cut(text: str, size: int) -> str:
    """Return as much of a text as fits into so many bytes of UTF-8, whole characters only.

    Args:
        text: Undecodable bytes may be surrogate-escaped.
        size: Bytes.
    """
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= size:
        return text
    while size and data[size] & 0xC0 == 0x80:  # in the middle of a character
        size -= 1
    return data[:size].decode("utf-8", "surrogateescape")


def with_end(name: str, end: str, *, room: int = 0) -> str:
    """Return the name of a file made of another: its name with an end, cut before it where needed.

    Args:
        name: Without a folder; as long as its own file system takes.
        end: What stands behind it, such as ``-2.png``.
        room: Bytes that more ends need, such as that of a file beside it.
    """
    return cut(name, MAX_FILE_NAME_BYTES - room - len(os.fsencode(end))) + end


def free_place(folder: Path, name: str, claimed: Collection[Path] = ()) -> Path:
    """Return a path in `folder` that nothing has: the name, or NAME-2, NAME-3 and so on.

    A name longer than the file system takes is cut before its ending.

    Args:
        folder: Which need not exist.
        name: Name of the image.
        claimed: Paths that something is going to have.
    """
    longest, number = _longest_name(folder), 1
    while True:
        place = _numbered_place(folder, name, number, longest)
        if place not in claimed and not os.path.lexists(place):
            return place
        number += 1


def is_place_for(place: Path, folder: Path, name: str) -> bool:
    """Return whether `free_place` may have given this path.

    Args:
        place: Where an earlier run put the image.
        folder: Folder of the image's class, below the requested folder.
        name: Name of the image.
    """
    longest = _longest_name(folder)
    numbered = re.search(r"-([1-9]\d{0,8})(\.[^.]*)?$", place.name)
    numbers = {1, int(numbered.group(1)) if numbered else 1}
    return place in {_numbered_place(folder, name, number, longest) for number in numbers}


def _numbered_place(folder: Path, name: str, number: int, longest: int) -> Path:
    """Return an image's place with a number behind its name, 1 being the name as it is."""
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    end = suffix if number == 1 else f"-{number}{suffix}"
    return folder / (cut(stem, longest - len(os.fsencode(end))) + end)


def _longest_name(folder: Path) -> int:
    """Return how many bytes a name may have in a folder, or in the nearest one that exists."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return max(os.pathconf(place, "PC_NAME_MAX"), 2 * MAX_SUFFIX_BYTES)
    return 255


RESUME = "Fix the cause and run the same command with `resume=True`."


def put(source: str, place: Path, how: str, fix: str = RESUME) -> None:
    """Copy, link or move a file to a free place, whole or not at all.

    Args:
        source: The image.
        place: Where to; its folder is made.
        how: One of `HOW`.
        fix: What to do where it cannot be put there.

    Raises:
        OutputError: It cannot be put there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if how == "link":
            place.symlink_to(os.path.realpath(source))
        elif how == "move":
            _move(source, place)
        else:
            _copy(source, place)
    except OSError as error:
        raise OutputError(
            f"{source} cannot be put into {place.parent}: {error.strerror or error}. {fix}"
        ) from error


def _move(source: str, place: Path) -> None:
    """Move a file to a free place, without ever replacing what is there."""
    if os.path.islink(source):  # as it is, it may lead nowhere from there
        place.symlink_to(os.path.realpath(source))
    elif not _linked(source, place):
        _copy(source, place)
    try:
        os.unlink(source)
    except OSError:
        if os.path.lexists(source):  # it cannot be moved: then it has no second place either
            place.unlink(missing_ok=True)
        raise


def _linked(source: str, place: Path) -> bool:
    with contextlib.suppress(OSError):  # another file system, or one without links
        os.link(source, place)
        return True
    return False


def _copy(source: str, place: Path) -> None:
    """Copy a file to a free place, which is never replaced by it."""
    unfinished = _unfinished(place)
    try:
        shutil.copy2(source, unfinished)
        try:
            os.link(unfinished, place)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(place):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place) from None
            os.replace(unfinished, place)
    finally:
        unfinished.unlink(missing_ok=True)


def _unfinished(place: Path) -> Path:
    """Return where the copy of a file grows, in the folder that it goes to."""
    # Short and of ASCII, whatever the image's own name is.
    digest = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]
    return place.with_name(f"{UNFINISHED}-{digest}")


def finish(source: str, place: Path, how: str) -> None:
    """Finish what a killed run may have left half done; does nothing where it was done.

    Raises:
        OutputError: It cannot be finished.
    """
    if not os.path.lexists(source):
        return
    if not os.path.lexists(place):
        put(source, place, how)
        return
    if how != "link":  # killed after the copy got its name, before it lost the one it grew under
        with contextlib.suppress(OSError):
            _unfinished(place).unlink(missing_ok=True)
    if how == "move":
        _remove_moved(source, place)


def _remove_moved(source: str, place: Path) -> None:
    """Remove a source whose copy is complete: the run stopped just before that.

    A link is no copy: it would lead nowhere. But one that was moved has only become another.
    """
    if place.is_symlink() and os.path.islink(source):
        if os.readlink(place) == os.path.realpath(source):
            with contextlib.suppress(OSError):
                os.unlink(source)
        return
    if place.is_symlink() or not place.is_file():
        return
    if os.path.samefile(source, place) or filecmp.cmp(source, place, shallow=False):
        with contextlib.suppress(OSError):
            os.unlink(source)
