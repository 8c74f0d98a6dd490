"""Reads the boxes of a few pictures from COCO JSON or a CSV, by the pictures' file names."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import UsageError, broken_rule

MAX_BYTES = 512 * 1024**2
CSV_COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")


class Boxes(NamedTuple):
    """The boxes of one picture.

    Attributes:
        corners: float32 (boxes, 4): left, top, right, bottom in pixels.
        labels: What each one shows.
    """

    corners: np.ndarray
    labels: tuple[str, ...]


def read_boxes(path: Path, pictures: Sequence[str]) -> dict[str, Boxes]:
    """Return the boxes of each of some pictures, found by the file's name without folders.

    Args:
        path: COCO's form (.json), or a CSV with the columns file, label, x1, y1, x2, y2.
        pictures: Paths of pictures.

    Raises:
        UsageError: The file is not of this form.
    """
    wanted = {os.path.basename(picture) for picture in pictures}
    found: dict[str, list[tuple[str, list[float]]]] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
        entries = _coco(path) if path.suffix.lower() == ".json" else _csv(path)
        for name, label, corners in entries:
            if name in wanted:
                found.setdefault(name, []).append((label, _checked(corners, path)))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        form = "COCO's JSON, or a CSV with the columns " + ", ".join(CSV_COLUMNS)
        reason = f"{type(error).__name__} {' '.join(str(error).split())[:100]}"
        raise UsageError(broken_rule(str(path), f"be {form}", reason)) from error
    return {picture: _boxes(found.get(os.path.basename(picture), [])) for picture in pictures}


def _boxes(entries: list[tuple[str, list[float]]]) -> Boxes:
    corners = np.array([c for _, c in entries], np.float32).reshape(-1, 4)
    return Boxes(corners, tuple(label for label, _ in entries))


def _coco(path: Path) -> Iterator[tuple[str, str, list[float]]]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = {one["id"]: os.path.basename(one["file_name"]) for one in content["images"]}
    labels = {one["id"]: str(one["name"]) for one in content.get("categories", [])}
    for one in content["annotations"]:
        left, top, width, height = map(float, one["bbox"])
        label = labels.get(one["category_id"], str(one["category_id"]))
        yield names[one["image_id"]], label, [left, top, left + width, top + height]


def _csv(path: Path) -> Iterator[tuple[str, str, list[float]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            corners = [float(row[name]) for name in CSV_COLUMNS[2:]]
            yield os.path.basename(row["file"]), row["label"], corners


def _checked(corners: list[float], path: Path) -> list[float]:
    left, top, right, bottom = corners
    if not all(map(math.isfinite, corners)) or right <= left or bottom <= top:
        rule = "have boxes with a width and a height"
        raise UsageError(broken_rule(str(path), rule, f"{corners} as left, top, right, bottom"))
    return corners
