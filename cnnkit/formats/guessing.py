"""Distinguishes images with boxes from class folders by their content, not by names alone.

Many data sets of class folders have a ``classes.txt``, a ``data.yaml`` or a folder ``labels``.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from cnnkit.formats.image_files import IMAGE_FOLDERS
from cnnkit.formats.yolo_data import CLASS_FILES, DATA_FILES
from cnnkit.images.sniff import has_image_suffix

# Names of COCO files in a folder; any other JSON may be anything.
_COCO_PATTERNS = (
    "instances*.json",
    "_annotations.coco.json",
    "*/_annotations.coco.json",
    "annotations/instances*.json",
)
# Folders of data sets with boxes; they are not class names.
BOX_FOLDERS = frozenset(
    name.lower() for name in (*IMAGE_FOLDERS, "labels", "Annotations", "ImageSets")
)
# Largest number of files to read.
MOST_FILES = 2000
_HEAD_BYTES = 4096


def guessed_form(path: Path) -> str | None:
    """Return the form of boxes, ``coco``, ``voc`` or ``yolo``, that a path's content shows."""
    if path.is_file():
        return {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}.get(path.suffix.lower())
    if _is_yolo(path):
        return "yolo"
    for folder in (path, path / "Annotations", path / "annotations"):
        if folder.is_dir() and any(map(_is_voc_file, itertools.islice(folder.glob("*.xml"), 20))):
            return "voc"
    if any(any(path.glob(pattern)) for pattern in _COCO_PATTERNS):
        return "coco"
    return None


def _is_voc_file(path: Path) -> bool:
    content = _head(path)
    # A broken file is no evidence; reading it will report it.
    return b"<annotation" in content or b"<" not in content


def _is_yolo(path: Path) -> bool:
    if path.name == "labels" and _has_labels(path):
        return True
    labels = path / "labels"
    if labels.is_dir() and _has_labels(labels):
        return True
    if any((path / name).is_file() for name in DATA_FILES):
        return any(map(_is_label_file, _texts(path))) or not _has_class_folders(path)
    return (path / "classes.txt").is_file() and any(map(_has_image, _own_texts(path)))


def _has_labels(folder: Path) -> bool:
    """Return whether a folder called ``labels`` has labels; one with images is a class."""
    if any(has_image_suffix(name) for name in _names(folder)):
        return any(map(_is_label_file, _texts(folder)))
    if any(map(_is_label_file, _texts(folder))):
        return True
    # Empty files are backgrounds, unless there are classes to see.
    is_empty = any(not _head(text).strip() for text in _texts(folder))
    return is_empty and not _has_class_folders(folder.parent)


def _has_class_folders(path: Path) -> bool:
    """Return whether folders, or folders in them, contain images and may be classes."""
    for name in _names(path):
        inner = path / name
        if name.lower() in BOX_FOLDERS or not inner.is_dir():
            continue
        names = _names(inner)
        if any(map(has_image_suffix, names)):
            return True
        for deeper in names:
            is_class = deeper.lower() not in BOX_FOLDERS and (inner / deeper).is_dir()
            if is_class and any(map(has_image_suffix, _names(inner / deeper))):
                return True
    return False


def _names(folder: Path) -> list[str]:
    """Return some of the visible names in a folder, none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST_FILES)]
    except OSError:
        return []
    return sorted(name for name in names if not name.startswith("."))


def _texts(folder: Path) -> Iterator[Path]:
    """Yield the text files in and below a folder, except lists of class names."""
    walked = (Path(place, name) for place, _, names in os.walk(folder) for name in sorted(names))
    for path in itertools.islice(walked, MOST_FILES):
        if path.suffix.lower() == ".txt" and path.name not in CLASS_FILES:
            yield path


def _own_texts(folder: Path) -> Iterator[Path]:
    for name in _names(folder):
        if name.lower().endswith(".txt") and name not in CLASS_FILES:
            yield folder / name


def _has_image(text: Path) -> bool:
    """Return whether an image has a text file of the same name next to it."""
    images = filter(has_image_suffix, _names(text.parent))
    return any(text.stem in (name, os.path.splitext(name)[0]) for name in images)


def _is_label_file(path: Path) -> bool:
    """Return whether a text begins with a line of YOLO: a class and at least four numbers."""
    words = _head(path).split(b"\n")[0].split()
    try:
        return len(words) >= 5 and all(map(_is_number, words))
    except ValueError:
        return False


def _is_number(word: bytes) -> bool:
    float(word)
    return True


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
