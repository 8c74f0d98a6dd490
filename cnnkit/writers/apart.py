"""Keeps outputs apart from inputs, told by the files themselves and never by their names.

A name says little: links, ``./``, hard links, and file systems that do not tell ``A`` from ``a``
give one file many. Device and inode are the same under all of them.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Hashable, Iterable
from pathlib import Path

from cnnkit.errors import UsageError, broken_rule

AnyPath = str | os.PathLike[str]
# What an option names, or what a command was given, and under which option.
Named = tuple[str, AnyPath]


def identity(path: AnyPath) -> tuple[int, int] | None:
    """Return what a file or folder is known by, links followed; None if there is none."""
    for resolved in (os.fspath, os.path.realpath):  # the second: ``a/b/..`` before there is b
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(resolved(path))
            return status.st_dev, status.st_ino
    return None


def name_key(name: str) -> str:
    """Return what two names share that some file systems hold for one: case and composition."""
    return unicodedata.normalize("NFC", name).casefold()


def place_of(path: AnyPath) -> Hashable:
    """Return what two outputs share if the second would take the first one's place."""
    found = identity(path)
    if found is not None:
        return found
    folder, name = os.path.split(os.path.abspath(path))
    return identity(folder) or name_key(folder), name_key(name)


def check_apart(outputs: Iterable[Named], inputs: Iterable[Named]) -> None:
    """Refuse an output that is one of the inputs, before anything is touched.

    Args:
        outputs: Files and folders that are to be written, those that do not exist as well.
        inputs: Files and folders that are read. They are only gone through if an output exists.

    Raises:
        UsageError: Names both.
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
        folders: That get files; those that do not exist are in nobody's way.
        inputs: Files and folders that are read; only gone through if there is such a folder.

    Raises:
        UsageError: Names the folder.
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
    """Refuse a folder that is replaced as a whole while an input lies somewhere in it.

    Raises:
        UsageError: Names both.
    """
    found = identity(folder)
    for name, path in inputs if found is not None else ():
        if found in above(path):
            raise _refused(option, folder, f"the folder of {name} {os.fspath(path)}")


def above(path: AnyPath) -> list[tuple[int, int]]:
    """Return the identities of a path and of all folders that it lies in, links followed."""
    try:
        place = Path(os.path.realpath(path))
    except (OSError, ValueError):
        return []
    found = (identity(folder) for folder in (place, *place.parents))
    return [one for one in found if one is not None]


def check_places_differ(outputs: Iterable[Named]) -> None:
    """Refuse two outputs of which the second would take the first one's place.

    Raises:
        UsageError: Names the place.
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
