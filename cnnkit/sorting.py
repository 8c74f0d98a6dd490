"""Putting pictures into folders by class: safe names, no collision, nothing half done."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import unicodedata
from pathlib import Path

from cnnkit.errors import OutputError

UNKNOWN_FOLDER = "_unknown"
ERRORS_FOLDER = "_errors"
HOW = ("copy", "link", "move")
MAX_NAME_BYTES = 100
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
    name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    name = FORBIDDEN.sub("-", name).strip(" .").lstrip("_. ")
    while len(name.encode("utf-8")) > MAX_NAME_BYTES:
        name = name[:-1]
    if RESERVED.match(name):
        name = f"{name}-"
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return name.rstrip(" .") or f"label-{digest}"


def free_place(folder: Path, name: str) -> Path:
    """Return a path in `folder` that nothing has: the name, or NAME-2, NAME-3 and so on."""
    stem, suffix = os.path.splitext(name)
    place = folder / name
    number = 2
    while os.path.lexists(place):
        place = folder / f"{stem}-{number}{suffix}"
        number += 1
    return place


def put(source: str, place: Path, how: str) -> None:
    """Copy, link or move a file to a free place, whole or not at all.

    Args:
        source: The picture.
        place: Where to; its folder is made.
        how: One of `HOW`.

    Raises:
        OutputError: It cannot be put there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if how == "link":
            place.symlink_to(os.path.realpath(source))
        elif how == "move" and _renamed(source, place):
            return
        else:
            _copy(source, place)
            if how == "move":
                os.unlink(source)
    except OSError as error:
        raise OutputError(
            f"{source} cannot be put into {place.parent}: {error.strerror or error}. "
            "Mend the cause and give the same command with --resume."
        ) from error


def _renamed(source: str, place: Path) -> bool:
    """Move within one file system, without ever replacing what is there."""
    with contextlib.suppress(OSError):
        os.link(source, place)
        os.unlink(source)
        return True
    return False


def _copy(source: str, place: Path) -> None:
    unfinished = place.with_name(f".{place.name}{UNFINISHED}")
    try:
        shutil.copy2(source, unfinished)
        os.replace(unfinished, place)
    finally:
        unfinished.unlink(missing_ok=True)


def finish(source: str, place: Path, how: str) -> None:
    """Finish what a killed run may have left half done; does nothing where it was done.

    Raises:
        OutputError: It cannot be finished.
    """
    if not os.path.lexists(source):
        return
    if not os.path.lexists(place):
        put(source, place, how)
    elif how == "move":
        _remove_moved(source, place)


def _remove_moved(source: str, place: Path) -> None:
    """Remove a source whose copy is complete: the run stopped just before that."""
    if os.path.samefile(source, place) or Path(source).read_bytes() == place.read_bytes():
        with contextlib.suppress(OSError):
            os.unlink(source)
