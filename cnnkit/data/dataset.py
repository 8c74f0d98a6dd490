"""Reads a training set: a folder for each class, split folders of such, or a CSV."""

from __future__ import annotations

import logging
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnkit.data.labeled_csv import CsvRow, read_csv_rows
from cnnkit.errors import UsageError, broken_rule, did_you_mean, requires
from cnnkit.formats.csv_text import found_under
from cnnkit.formats.guessing import BOX_FOLDERS, guessed_form
from cnnkit.images import Finder
from cnnkit.images.folders import LEFT_BEHIND, is_left_behind
from cnnkit.names import is_safe, is_visible, normal_name
from cnnkit.results import Failure
from cnnkit.sorting import ERRORS_FOLDER, UNKNOWN_FOLDER
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

# Names of a split, as a folder or a cell of a CSV.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# What may follow them, as in training_set or test-images.
_BEHIND_SPLITS = re.compile(r"[\s_-]*(set|data|dataset|images|split)$")
MAX_LABEL = 255

NOT_CLASSES = LEFT_BEHIND

FORMS = (
    "Give a folder with one folder for each class, a folder with train/ and val/ of such "
    "folders, or a CSV with the columns file and label."
)


def split_name(text: str) -> str | None:
    """Return the split that a folder name or a cell means: train, val, test, or None."""
    word = normal_name(text).lower()
    return SPLIT_NAMES.get(word) or SPLIT_NAMES.get(_BEHIND_SPLITS.sub("", word))


class LabeledFile(NamedTuple):
    """One image of a training set.

    Attributes:
        path: Path as the user would type it, with undecodable bytes surrogate-escaped.
        name: Name relative to the set's root, with ``/``; independent of where the set is.
        label: Index of its class in the set's classes.
        split: ``train``, ``val`` or ``test``, or None if cnnkit chooses.
    """

    path: str
    name: str
    label: int
    split: str | None


@dataclass(frozen=True)
class Dataset:
    """A labeled set of images, not yet decoded.

    Attributes:
        source: The folder or CSV, as the user typed it.
        root: The folder that the names are relative to.
        classes: The names of the classes, in code-point order.
        files: The images, in the order of the folders or lines.
        strays: Files next to the class folders, which are ignored.
        failures: Folders that could not be read, with the reasons.
        split_classes: The classes of each split, for split folders or a CSV with splits.
        by_index: Whether class names are indices of a model's classes, by a CSV's column.
    """

    source: str
    root: str
    classes: tuple[str, ...]
    files: tuple[LabeledFile, ...]
    strays: tuple[str, ...] = ()
    failures: tuple[tuple[str, Failure], ...] = ()
    split_classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_index: bool = False

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, int32 (images,)."""
        return np.fromiter((f.label for f in self.files), np.int32, len(self.files))

    def counts(self, split: str | None = None) -> np.ndarray:
        """Return the number of images of each class, int64 (classes,), optionally of one split."""
        labels = [f.label for f in self.files if split is None or f.split == split]
        return np.bincount(np.asarray(labels, np.int64), minlength=len(self.classes))


def read_dataset(data: str, root: str | None = None) -> Dataset:
    """Read the images and labels of a training set, without opening any image.

    Args:
        data: A folder with one folder for each class (images in folders below it count as
            well); a folder with ``train/`` and ``val/`` and optionally ``test/``, each with one
            folder for each class; or a CSV with the columns file, label and optionally split.
        root: The folder that a CSV's files are relative to; by default the CSV's own.

    Raises:
        UsageError: It has none of these formats; the message names the folder or line.
    """
    path = Path(data)
    if path.is_dir():
        if root is not None:
            raise UsageError(requires("`root`", "a CSV file", f"Received: the folder {data}."))
        dataset = _read_folder(data)
        _refuse_boxes(data, dataset)
    elif path.is_file():
        dataset = _read_csv(data, root if root is not None else str(path.parent))
    else:
        raise UsageError(broken_rule("`data`", "be a folder or a CSV", data, "It does not exist."))
    if not dataset.files:
        raise UsageError(broken_rule("`data`", "hold labeled images", f"none in {data}", FORMS))
    return dataset


def _refuse_boxes(data: str, dataset: Dataset) -> None:
    """Refuse images with boxes, whose folders would be taken for classes."""
    names = {name.lower() for name in dataset.classes}
    if names <= BOX_FOLDERS and guessed_form(Path(data)) is not None:
        fix = "cnnkit train-detector and cnnkit doctor take them."
        received = "images with boxes"
        raise UsageError(broken_rule("`data`", "hold a folder for each class", received, fix))


# Folders of `sort_into` for images without a class; they are not classes.
WITHOUT_CLASS = (UNKNOWN_FOLDER, ERRORS_FOLDER)


@dataclass
class _Collected:
    """The files found so far; labels are still names."""

    root: str
    files: list[tuple[str, str, str | None]] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    split_classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    by_index: bool = False

    def add_classes(self, folder: str, split: str | None) -> None:
        """Read every folder in `folder` as a class."""
        folders, files = _listed(folder)
        self.strays += [os.path.join(folder, name) for name in files]
        first: dict[str, str] = {}
        for name in folders:
            place = os.path.join(folder, name)
            if name in WITHOUT_CLASS:
                log.warning(
                    "%s is skipped: sorting puts images without a class there.", printable(place)
                )
                continue
            label = normal_name(name)
            check_label(label, f"the folder {printable(place)}")
            if first.setdefault(label, name) != name:
                log.info("%s and %r in it are one class.", printable(place), first[label])
            for found in Finder([place]):
                if found.failure is None:
                    self.files.append((found.path, label, split))
                elif found.failure.kind != "no-images":
                    self.failures.append((found.path, found.failure))
        self.classes.update(first)
        if split is not None:
            self.split_classes[split] = tuple(sorted(first))

    def finished(self, source: str) -> Dataset:
        """Return the set, with classes numbered in the order of their names."""
        names = tuple(sorted(self.classes | {label for _, label, _ in self.files}))
        index = {name: number for number, name in enumerate(names)}
        files = tuple(
            LabeledFile(path, _relative(path, self.root), index[label], split)
            for path, label, split in self.files
        )
        return Dataset(
            source,
            self.root,
            names,
            files,
            tuple(self.strays),
            tuple(self.failures),
            self.split_classes,
            self.by_index,
        )


def _read_folder(data: str) -> Dataset:
    collected = _Collected(data)
    folders, files = _listed(data)
    splits = _split_folders(data, folders)
    if splits:
        collected.strays = [os.path.join(data, name) for name in files]
        for split, name in splits.items():
            collected.add_classes(_inner(os.path.join(data, name)), split)
        return collected.finished(data)
    if not folders:
        received = f"{len(files)} files and no folder in {data}"
        raise UsageError(broken_rule("`data`", "hold a folder for each class", received, FORMS))
    collected.add_classes(data, None)
    return collected.finished(data)


def _split_folders(data: str, folders: list[str]) -> dict[str, str]:
    """Return folder names by split, or nothing if the folders are classes."""
    named = [name for name in folders if split_name(name)]
    splits = {str(split_name(name)): name for name in named}
    alone = len(folders) == 1 and _holds_folders_only(os.path.join(data, folders[0]))
    if not (len(splits) > 1 or (splits and alone)):
        return {}
    if len(splits) < len(named):
        rule = "have one folder for each split"
        raise UsageError(broken_rule(data, rule, ", ".join(f"{n}/" for n in named)))
    others = [name for name in folders if name not in named]
    if others:
        rule = "hold only split folders or only class folders"
        received = f"{printable(named[0])}/ and {printable(others[0])}/"
        fix = "Move the class folders into train/ and val/."
        raise UsageError(broken_rule(data, rule, received, fix))
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _holds_folders_only(folder: str) -> bool:
    inner, files = _listed(folder)
    return bool(inner) and not files


def _inner(folder: str) -> str:
    """Return the folder of the same name inside a split's folder, as some archives have it."""
    folders, files = _listed(folder)
    again = [name for name in folders if name == os.path.basename(folder)]
    return os.path.join(folder, again[0]) if again and len(folders) == 1 and not files else folder


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the visible folders and files in a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            visible = [
                (entry.name, entry.is_dir()) for entry in entries if not is_left_behind(entry.name)
            ]
    except OSError as error:
        raise UsageError(f"{folder} cannot be listed: {error.strerror or error}.") from error
    visible.sort()
    return [n for n, is_folder in visible if is_folder], [n for n, is_dir in visible if not is_dir]


def _read_csv(data: str, root: str) -> Dataset:
    collected = _Collected(root)
    rows = list(read_csv_rows(Path(data)))
    collected.by_index = any(row.by_index for row in rows)
    for file, label, split in _distinct(_csv_entries(rows, data, root)):
        collected.files.append((file, label, split))
    _tell_of_repeats(data, collected.files)
    splits = {split for _, _, split in collected.files if split}
    for split in sorted(splits):
        names = {label for _, label, of in collected.files if of == split}
        collected.split_classes[split] = tuple(sorted(names))
    return collected.finished(data)


def _csv_entries(
    rows: Iterable[CsvRow], path: str, root: str
) -> Iterator[tuple[str, str, str | None]]:
    for row in rows:
        where = f"{path}, line {row.line}"
        check_label(row.label, where)
        split = split_name(row.split)
        if row.split and split is None:
            fix = did_you_mean(row.split, list(SPLIT_NAMES))
            raise UsageError(broken_rule(where, "say train, val or test", repr(row.split), fix))
        if "\0" in row.file:
            raise UsageError(broken_rule(where, "name a file", "a name with a null byte"))
        yield found_under(root, row.file), row.label, split


def _distinct(
    entries: Iterator[tuple[str, str, str | None]],
) -> Iterator[tuple[str, str, str | None]]:
    """Skip a line that repeats an earlier one."""
    seen = set()
    for path, label, split in entries:
        key = (os.path.normpath(path), label, split)
        if key not in seen:
            seen.add(key)
            yield path, label, split


def _tell_of_repeats(data: str, files: Sequence[tuple[str, str, str | None]]) -> None:
    """Warn of images that stand in a CSV with several classes or splits: they count each time."""
    places: dict[str, list[tuple[str, str | None]]] = {}
    for path, label, split in files:
        places.setdefault(os.path.normpath(path), []).append((label, split))
    repeated = [(path, entries) for path, entries in places.items() if len(entries) > 1]
    if repeated:
        path, entries = repeated[0]
        said = ", ".join(
            label if split is None else f"{label} ({split})" for label, split in entries[:5]
        )
        log.warning(
            "%s lists %s with several classes or splits, such as %s: %s. Each entry counts.",
            printable(data),
            "an image" if len(repeated) == 1 else f"{len(repeated):,} images",
            printable(path),
            printable(said),
        )


def _relative(path: str, root: str) -> str:
    """Return an image's name relative to the root, the same on every system."""
    name = os.path.relpath(path, root)
    return name.replace(os.sep, "/") if os.sep != "/" else posixpath.normpath(name)


def check_label(label: str, where: str) -> None:
    """Refuse a class name that cannot be written on one line or displayed.

    Raises:
        UsageError: It is empty, too long, or has characters that names must not have.
    """
    if is_safe(label) and is_visible(label) and len(label) <= MAX_LABEL:
        return
    rule = f"name a class in at most {MAX_LABEL} printable characters"
    fix = "Rename it."
    if any("\udc80" <= c <= "\udcff" for c in label):
        fix = "It is not UTF-8: save the CSV as UTF-8, or rename the folder."
    raise UsageError(broken_rule(where, rule, repr(label[:80]), fix))
