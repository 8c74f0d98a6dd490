"""Reads the boxes of a few images by file name, from any format with boxes."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats import corners_of, mend, read_boxes, with_form
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
    """Return the boxes of some images, matched by file name without folders.

    Args:
        source: As for `cnnkit.formats.read_boxes`, or a CSV with the columns file, label, x1,
            y1, x2, y2. Invalid boxes, such as empty ones, are omitted.
        images: Paths of images.

    Raises:
        UsageError: The file has none of these formats.
    """
    wanted = {os.path.basename(image) for image in images}
    form, name = with_form(source)
    is_csv = form is None and name.lower().endswith(".csv")
    found = dict(_of_csv(Path(name), wanted) if is_csv else _of_set(source, wanted, images))
    nothing = Boxes(np.zeros((0, 4), np.float32), ())
    return {image: found.get(os.path.basename(image), nothing) for image in images}


def _of_set(source: str, wanted: set[str], images: Sequence[str]) -> Iterator[tuple[str, Boxes]]:
    folder = os.path.dirname(images[0]) or "." if images else None
    is_yolo = with_form(source)[0] == "yolo"  # whose labels are relative to the images
    paths = {os.path.basename(path): path for path in images}
    for image in read_boxes(source, folder if is_yolo else None).images:
        name = os.path.basename(image.file)
        if name in wanted:
            image = one_as_shown(dataclasses.replace(image, path=paths[name]))
            if image.refused:
                rule = "be annotated in the proportions of the image"
                raise UsageError(broken_rule(name, rule, image.refused))
            boxes = mend(image)[0].boxes
            yield name, Boxes(corners_of(boxes).astype(np.float32), tuple(b.label for b in boxes))


def _of_csv(path: Path, wanted: set[str]) -> Iterator[tuple[str, Boxes]]:
    found: dict[str, list[tuple[str, list[float]]]] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
        for name, label, corners in _csv_entries(path):
            if name in wanted:
                found.setdefault(name, []).append((label, _checked(corners, path)))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, IndexError) as error:
        form = f"a CSV with the columns {', '.join(CSV_COLUMNS)}"
        reason = f"{type(error).__name__} {' '.join(str(error).split())[:100]}"
        raise UsageError(broken_rule(str(path), f"be {form}", reason)) from error
    return ((name, _boxes(entries)) for name, entries in found.items())


def _boxes(entries: Iterable[tuple[str, list[float]]]) -> Boxes:
    entries = list(entries)
    corners = np.array([c for _, c in entries], np.float32).reshape(-1, 4)
    return Boxes(corners, tuple(label for label, _ in entries))


def _csv_entries(path: Path) -> Iterator[tuple[str, str, list[float]]]:
    table = read_csv_table(path, CSV_COLUMNS)
    for _, cells in table.records:
        row = dict(zip(table.names, cells, strict=False))
        corners = [float(row[name]) for name in CSV_COLUMNS[2:]]
        file = readings(row["file"])[-1]  # without folders, also those of Windows
        yield os.path.basename(file), normal_name(row["label"]), corners


def _checked(corners: list[float], path: Path) -> list[float]:
    left, top, right, bottom = corners
    if not all(map(math.isfinite, corners)) or right <= left or bottom <= top:
        rule = "have boxes with a width and a height"
        raise UsageError(broken_rule(str(path), rule, f"{corners} as left, top, right, bottom"))
    return corners
