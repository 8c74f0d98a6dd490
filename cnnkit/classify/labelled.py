"""Labelled pictures for measuring: a folder per class, or a CSV of files and classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnkit.data.labelled_csv import read_csv_rows
from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.images import Finder
from cnnkit.sorting import folder_name


class LabelledPicture(NamedTuple):
    """A picture's path and the index of its true class."""

    path: str
    truth: int


def read_labelled(data: str, labels: Sequence[str], root: str | None) -> list[LabelledPicture]:
    """Read labelled pictures.

    Args:
        data: A folder with a folder for each class, or a CSV with a header: a column ``file``
            (or path, image, filename) and a column ``class`` (or label, class_index, index).
        labels: The model's classes, in its order.
        root: The folder that a CSV's files are relative to; by default the CSV's own.

    Raises:
        UsageError: The data is not of this form, or names a class that the model has not.
    """
    path = Path(data)
    if path.is_dir():
        if root is not None:
            raise UsageError(broken_rule("--root", "go with a CSV", f"the folder {data}"))
        pictures = list(_from_folders(path, labels))
    elif path.is_file():
        pictures = list(_from_csv(path, labels, Path(root) if root else path.parent))
    else:
        raise UsageError(broken_rule("DATA", "be a folder or a CSV", data, "It does not exist."))
    if not pictures:
        fix = "Give a folder with one folder for each class, or a CSV with file and class."
        raise UsageError(broken_rule("DATA", "hold labelled pictures", f"none in {data}", fix))
    return pictures


def _from_folders(folder: Path, labels: Sequence[str]) -> Iterator[LabelledPicture]:
    known = ClassNames(labels)
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    for name in names:
        truth = known.index(name, f"the folder {folder / name}")
        for found in Finder([str(folder / name)]):
            yield LabelledPicture(found.path, truth)


def _from_csv(path: Path, labels: Sequence[str], root: Path) -> Iterator[LabelledPicture]:
    known = ClassNames(labels)
    for row in read_csv_rows(path):
        truth = known.index(row.label, f"{path}, line {row.line}", row.by_index)
        yield LabelledPicture(os.path.join(root, row.file), truth)


class ClassNames:
    """Finds a class by its label, its folder's name, or its index."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Take the model's labels; the first of equal ones wins."""
        self._labels = labels
        self._by_name: dict[str, int] = {}
        for forms in ([*labels], [folder_name(label) for label in labels]):
            for index, name in enumerate(forms):
                self._by_name.setdefault(name.casefold(), index)

    def index(self, name: str, where: str, by_index: bool = False) -> int:
        """Return the class index.

        Args:
            name: A label, or an index.
            where: Where it stands, for the message.
            by_index: Whether it is an index even where a label looks the same.

        Raises:
            UsageError: The model has no such class.
        """
        found = None if by_index else self._by_name.get(name.strip().casefold())
        if found is None and name.strip().isdecimal() and int(name) < len(self._labels):
            found = int(name)
        if found is None:
            fix = did_you_mean(name, list(dict.fromkeys(self._labels)))
            rule = "name one of the model's classes"
            raise UsageError(broken_rule(where, rule, repr(name), fix))
        return found
