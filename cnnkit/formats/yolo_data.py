"""YOLO's data.yaml and its files of class names: what a set says of itself."""

from __future__ import annotations

import itertools
import reprlib
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.image_files import read_bounded
from cnnkit.names import normal_name

CLASS_FILES = ("classes.txt", "obj.names", "classes.names", "predefined_classes.txt")
DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml")
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MOST_CLASSES = 10_000
_NOTHING = ("", "~", "null", "none")


def _shown(value: Any) -> str:
    """Return a value for a message: short, however often YAML's aliases repeat a part of it."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value)[:80]


def read_settings(source: Path) -> dict[str, Any]:
    """Return the content of a data.yaml, every scalar as the text that is written there.

    YAML would read the class names ``yes``, ``no``, ``on`` and ``010`` as booleans and numbers.

    Args:
        source: The file, or a folder that may have one; {} where it has none.

    Raises:
        UsageError: It is no YAML, or not of this form.
    """
    candidates = [source / name for name in DATA_FILES]
    if source.is_dir() and source.name == "labels":
        candidates += [source.parent / name for name in DATA_FILES]
    path = next((p for p in candidates if p.is_file()), None) if source.is_dir() else source
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.load(read_bounded(path, 1024**2), yaml.BaseLoader)  # makes texts only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UsageError(broken_rule(str(path), "be YAML", reason)) from error
    if not isinstance(content, dict):
        raise UsageError(broken_rule(str(path), "have names, train and val", "no such keys"))
    return content


def listed_splits(settings: dict[str, Any]) -> dict[str, list[str]]:
    """Return what a data.yaml lists for each of its keys of `SPLIT_KEYS` that is not empty.

    Raises:
        UsageError: An entry is neither a path nor a list of paths.
    """
    found: dict[str, list[str]] = {}
    for key in SPLIT_KEYS:
        entries = settings.get(key, "")
        entries = entries if isinstance(entries, list) else [entries]
        if not all(isinstance(entry, str) for entry in entries):
            rule = "be a path or a list of paths"
            raise UsageError(broken_rule(f"data.yaml: {key}", rule, _shown(entries)))
        if kept := [entry for entry in entries if entry.strip().lower() not in _NOTHING]:
            found[key] = kept
    return found


def keypoint_shape(settings: dict[str, Any]) -> tuple[int, int] | None:
    """Return how many keypoints a line of a pose set has and the numbers of each, 2 or 3.

    Raises:
        UsageError: ``kpt_shape`` is there and not of this form.
    """
    shape = settings.get("kpt_shape")
    if shape is None or shape in _NOTHING:
        return None
    try:
        count, numbers = map(int, shape)
        if not (0 < count <= 1000 and numbers in (2, 3)):
            raise ValueError
    except (TypeError, ValueError):
        rule = "be a number of keypoints and 2 or 3, as in [17, 3]"
        raise UsageError(broken_rule("kpt_shape", rule, _shown(shape))) from None
    return count, numbers


def class_names(settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """Return the names of the classes: of data.yaml, else of a file near; () where none has.

    Raises:
        UsageError: They are no list of names that differ.
    """
    names = settings.get("names")
    if names is None or names == "":
        places = itertools.product((folder, folder.parent, folder / "labels"), CLASS_FILES)
        path = next((f / name for f, name in places if (f / name).is_file()), None)
        return () if path is None else read_class_names(path)
    if isinstance(names, dict):
        names = _numbered(names)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(broken_rule("names", "be a list of names", _shown(names)))
    return _distinct([normal_name(name) for name in names])


def _numbered(names: dict[str, Any]) -> list[Any]:
    """Return names by their numbers; a number that is omitted is its own name."""
    try:
        by_number = {int(number): name for number, name in names.items()}
        if not all(0 <= number < MOST_CLASSES for number in by_number):
            raise ValueError
    except (ValueError, TypeError):
        rule = f"number its classes from 0 to at most {MOST_CLASSES - 1}"
        raise UsageError(broken_rule("names", rule, _shown(names))) from None
    return [by_number.get(number, str(number)) for number in range(max(by_number, default=-1) + 1)]


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the names in a file, one a line.

    Raises:
        UsageError: It cannot be read, or a name is there twice.
    """
    text = read_bounded(path, 1024**2).decode("utf-8-sig", "replace")
    return _distinct([normal_name(line) for line in text.rstrip("\r\n").split("\n")])


def _distinct(names: list[str]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(broken_rule("names", "differ from each other", f"{twice!r} twice"))
    return tuple(names)
