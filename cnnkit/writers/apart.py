"""Keeps outputs apart from inputs, which are compared by device and inode, never by name.

One file may have many names: symbolic links, ``./``, hard links, and file systems that ignore
case.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Hashable, Iterable
from pathlib import Path

from cnnkit.errors import UsageError, broken_rule

AnyPath = str | os.PathLike[str]
# The name of a parameter, and the path that it was given.
Named = tuple[str, AnyPath]


def identity(path: AnyPath) -> tuple[int, int] | None:
    """Return the device and inode of a file or folder, following links; None if it is missing."""
    for resolved in (os.fspath, os.path.realpath):  # the second for ``a/b/..`` without b
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(resolved(path))
            return status.st_dev, status.st_ino
    return None


def name_key(name: str) -> str:
    """Return a name without case and Unicode composition, which some file systems ignore."""
    return unicodedata.normalize("NFC", name).casefold()


def place_of(path: AnyPath) -> Hashable:
    """Return a key that is equal for two outputs if one would overwrite the other."""
    found = identity(path)
    if found is not None:
        return found
    folder, name = os.path.split(os.path.abspath(path))
    return identity(folder) or name_key(folder), name_key(name)


def check_apart(outputs: Iterable[Named], inputs: Iterable[Named]) -> None:
    """Refuse an output that is one of the inputs.

    Args:
        outputs: Files and folders to write; they need not exist.
        inputs: Files and folders to read; iterated only if an output exists.

    Raises:
        UsageError: An output is an input; the message names both.
    """
    written: dict[tuple[int, int], Named] = {}
    for option, path in outputs:
        found = identity(path)
        if found is not None:
            written.setdefault(found, (option, path))
    if not written:
        return
    for name, path in inputs:
        met = written.get(identity(path) or (-1, -1))
        if met is not None:
            raise _refused(*met, f"{name} {os.fspath(path)}".strip())


def check_not_beside(folders: Iterable[Named], inputs: Iterable[AnyPath]) -> None:
    """Refuse a folder of results that is also the folder of an input.

    Args:
        folders: Folders to write files to; they need not exist.
        inputs: Files and folders to read; iterated only if such a folder exists.

    Raises:
        UsageError: It is; the message names the folder.
    """
    written: dict[tuple[int, int], AnyPath] = {}
    for _, folder in folders:
        found = identity(folder)
        if found is not None:
            written[found] = folder
    homes: set[str] = set()
    for path in inputs if written else ():
        home = os.fspath(path) if os.path.isdir(path) else os.path.dirname(path) or "."
        if home in homes:
            continue
        homes.add(home)
        met = written.get(identity(home) or (-1, -1))
        if met is not None:
            fix = "Outputs are never written among the inputs: choose another folder."
            rule = "differ from the folders of the inputs"
            raise UsageError(broken_rule("an output folder", rule, met, fix))


def check_replaced_folder(option: str, folder: AnyPath, inputs: Iterable[Named]) -> None:
    """Refuse to replace a folder that contains an input.

    Raises:
        UsageError: It does; the message names both.
    """
    found = identity(folder)
    for name, path in inputs if found is not None else ():
        if found in above(path):
            raise _refused(option, folder, f"the folder of {name} {os.fspath(path)}")


def above(path: AnyPath) -> list[tuple[int, int]]:
    """Return the identities of a path and of all folders above it, following links."""
    try:
        place = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return []
    found = (identity(folder) for folder in (place, *place.parents))
    return [one for one in found if one is not None]


def check_places_differ(outputs: Iterable[Named]) -> None:
    """Refuse two outputs of which one would overwrite the other.

    Raises:
        UsageError: They are the same; the message names the path.
    """
    met: set[Hashable] = set()
    for _, path in outputs:
        place = place_of(path)
        if place in met:
            raise UsageError(broken_rule("outputs", "be different files and folders", path))
        met.add(place)


def _refused(option: str, path: AnyPath, what: str) -> UsageError:
    rule = "not be an input"
    received = f"{os.fspath(path)}, which is {what}"
    return UsageError(broken_rule(option, rule, received, "Choose another place for the result."))
