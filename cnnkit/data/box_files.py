"""Reads the boxes of a few images by file name, from any format with boxes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats import AnnotatedImage, corners_of, mend, read_boxes, with_form
from cnnkit.formats.csv_text import read_csv_table, readings
from cnnkit.formats.turning import one_as_shown
from cnnkit.names import normal_name

MAX_BYTES = 512 * 1024**2
CSV_COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")


class Boxes(NamedTuple):
    """The boxes of one image.

    Attributes:
        corners: float32 (boxes, 4): left, top, right, bottom in pixels.
        labels: Class name of each box.
    """

    corners: np.ndarray
    labels: tuple[str, ...]


def read_image_boxes(source: str, images: Sequence[str]) -> dict[str, Boxes]:
    """Return the boxes of some images, matched by file name.

    Where the source has several files of that name, the one whose folders agree most is meant.

    Args:
        source: As for `cnnkit.formats.read_boxes`, or a CSV with the columns file, label, x1,
            y1, x2, y2. Invalid boxes, such as empty ones, are omitted.
        images: Paths of images.

    Raises:
        UsageError: The file has none of these formats, or several files could be an image.
    """
    wanted = {os.path.basename(image) for image in images}
    form, name = with_form(source)
    is_csv = form is None and name.lower().endswith(".csv")
    known = _of_csv(Path(name), wanted) if is_csv else _of_set(source, wanted, images)
    nothing = Boxes(np.zeros((0, 4), np.float32), ())
    found = {}
    for image in images:
        files = known.get(os.path.basename(image), {})
        meant = _meant(image, list(files), name)
        found[image] = nothing if meant is None else files[meant](image)
    return found


def _meant(image: str, files: Sequence[str], source: str) -> str | None:
    """Return which of some files of its name an image is, None if there is none."""
    parts = _parts(os.path.abspath(image))
    shared = [_shared_end(parts, _parts(file)) for file in files]
    best = [file for file, count in zip(files, shared, strict=True) if count == max(shared)]
    if len(best) > 1:
        fix = "Give the image by the folders that the file names."
        received = f"{len(best)} of that name, such as {best[0]} and {best[1]}"
        raise UsageError(broken_rule(source, f"have one file that {image} can be", received, fix))
    return best[0] if best else None


def _parts(path: str) -> list[str]:
    """Return the folders and the name of a path, the last one first."""
    return os.path.normpath(path).split(os.sep)[::-1]


def _shared_end(some: Sequence[str], others: Sequence[str]) -> int:
    """Return how many parts two paths have in common from their ends on."""
    same = (one == other for one, other in zip(some, others, strict=False))
    return sum(1 for _ in itertools.takewhile(bool, same))


# By the name of a file without folders: its path in the source, and what gives its boxes.
_Known = dict[str, dict[str, Callable[[str], Boxes]]]


def _of_set(source: str, wanted: set[str], images: Sequence[str]) -> _Known:
    folder = os.path.dirname(images[0]) or "." if images else None
    is_yolo = with_form(source)[0] == "yolo"  # whose labels are relative to the images
    known: _Known = {}
    for image in read_boxes(source, folder if is_yolo else None).images:
        name = os.path.basename(image.file)
        if name in wanted:
            known.setdefault(name, {})[image.file] = partial(_annotated, image)
    return known


def _annotated(image: AnnotatedImage, path: str) -> Boxes:
    """Return the boxes of an image that lies at a path."""
    image = one_as_shown(dataclasses.replace(image, path=path))
    if image.refused:
        rule = "be annotated in the proportions of the image"
        raise UsageError(broken_rule(os.path.basename(path), rule, image.refused))
    boxes = mend(image)[0].boxes
    return Boxes(corners_of(boxes).astype(np.float32), tuple(b.label for b in boxes))


def _of_csv(path: Path, wanted: set[str]) -> _Known:
    found: dict[str, dict[str, list[tuple[str, list[float]]]]] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
        for file, label, corners in _csv_entries(path):
            name = os.path.basename(file)
            if name in wanted:
                of_name = found.setdefault(name, {})
                of_name.setdefault(file, []).append((label, _checked(corners, path)))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, IndexError) as error:
        form = f"a CSV with the columns {', '.join(CSV_COLUMNS)}"
        reason = f"{type(error).__name__} {' '.join(str(error).split())[:100]}"
        raise UsageError(broken_rule(str(path), f"be {form}", reason)) from error
    return {
        name: {file: partial(_boxes, entries) for file, entries in of_name.items()}
        for name, of_name in found.items()
    }


def _boxes(entries: Sequence[tuple[str, list[float]]], path: str) -> Boxes:
    """Return the boxes of a CSV, which are those of the image wherever it lies."""
    corners = np.array([c for _, c in entries], np.float32).reshape(-1, 4)
    return Boxes(corners, tuple(label for label, _ in entries))


def _csv_entries(path: Path) -> Iterator[tuple[str, str, list[float]]]:
    table = read_csv_table(path, CSV_COLUMNS)
    for _, cells in table.records:
        row = dict(zip(table.names, cells, strict=False))
        corners = [float(row[name]) for name in CSV_COLUMNS[2:]]
        file = readings(row["file"])[-1]  # with its folders, also those of Windows
        yield os.path.normpath(file), normal_name(row["label"]), corners


def _checked(corners: list[float], path: Path) -> list[float]:
    left, top, right, bottom = corners
    if not all(map(math.isfinite, corners)) or right <= left or bottom <= top:
        rule = "have boxes with a width and a height"
        raise UsageError(broken_rule(str(path), rule, f"{corners} as left, top, right, bottom"))
    return corners
