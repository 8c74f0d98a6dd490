"""Darknet's own way of making a network's input, and its detections of seven images.

The detections were made by Darknet itself with the official yolov3-tiny.weights and the anchors
that they were trained with, at 416 pixels; the folder `scenes` of the test data has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NAMES = ("dog", "eagle", "giraffe", "horses", "kite", "person", "scream")
REFERENCE = "yolov3tiny_darknet_ref_mask123_{form}.json"


class Difference(NamedTuple):
    """How far detections are from Darknet's own.

    Attributes:
        score: The largest difference of a score.
        pixels: The largest difference of a side of a box.
        missing: How many of Darknet's have no counterpart.
        extra: How many have none in Darknet's.
    """

    score: float
    pixels: float
    missing: int
    extra: int


def letterboxed(pixels: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image as Darknet puts it into its network, and the size that it has there.

    Args:
        pixels: RGB of 0 to 255, uint8 (height, width, 3).
        side: Of the network's square input.

    Returns:
        float32 (side, side, 3) of 0 to 255, and (height, width).
    """
    height, width = pixels.shape[:2]
    if side * height < side * width:
        rows, columns = height * side // width, side
    else:
        rows, columns = side, width * side // height
    resized = resized_like_darknet(pixels.astype(np.float32) / np.float32(255), rows, columns)
    framed = np.full((side, side, 3), 0.5, np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    framed[top : top + rows, left : left + columns] = resized
    return framed * 255, (rows, columns)


def resized_like_darknet(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return an image, float32 (h, w, 3), resized: corners on corners, all in single precision."""
    height, width = image.shape[:2]
    one = np.float32(1)
    at = np.arange(columns, dtype=np.float32) * (np.float32(width - 1) / np.float32(columns - 1))
    first = np.minimum(at.astype(int), width - 2)
    part = (at - first)[None, :, None]
    across = (one - part) * image[:, first] + part * image[:, first + 1]
    across[:, -1] = image[:, -1]
    at = np.arange(rows, dtype=np.float32) * (np.float32(height - 1) / np.float32(rows - 1))
    first = at.astype(int)
    part = (at - first)[:, None, None]
    down = (one - part) * across[first]
    down[:-1] += part[:-1] * across[first[:-1] + 1]
    return down


def to_image(
    boxes: np.ndarray, placed: tuple[int, int], side: int, height: int, width: int
) -> np.ndarray:
    """Return boxes of the input (n, 4) in the image's pixels, as Darknet takes them back.

    Its bars are half pixels wide where the rest is odd, which those of its input are not.
    """
    rows, columns = placed
    offset = np.array([(side - columns) / 2, (side - rows) / 2] * 2)
    return (boxes - offset) * np.array([width / columns, height / rows] * 2)


def reference(folder: Path, form: str = "jpg") -> dict[str, list[dict[str, Any]]]:
    """Return Darknet's detections from 0.005 on, by the image's name.

    Args:
        folder: The scenes.
        form: ``jpg``, or ``png`` for the images as Pillow decodes them.
    """
    entries = json.loads((folder / REFERENCE.format(form=form)).read_text(encoding="utf-8"))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for entry in entries:
        found[NAMES[entry["image_id"] - 1]].append(entry)
    return found


def difference(
    expected: Mapping[str, Sequence[Mapping[str, Any]]],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    least: float = 0.25,
) -> Difference:
    """Compare detections: each of Darknet's from `least` on with the nearest of its class.

    Args:
        expected: Darknet's, by image: ``category_id``, ``score``, ``bbox``.
        found: In the same form, from a lower score on.
        least: The lowest score that counts.
    """
    score = pixels = 0.0
    missing = matched = 0
    for name, entries in expected.items():
        for entry in (e for e in entries if e["score"] >= least):
            pairs = [
                (float(np.abs(np.subtract(corners(one), corners(entry))).max()), one["score"])
                for one in found[name]
                if one["category_id"] == entry["category_id"]
            ]
            if not pairs or min(pairs)[0] > 50:
                missing += 1
                continue
            nearest = min(pairs)
            matched += 1
            pixels = max(pixels, nearest[0])
            score = max(score, abs(nearest[1] - entry["score"]))
    extra = sum(one["score"] >= least for entries in found.values() for one in entries) - matched
    return Difference(score, pixels, missing, max(0, extra))


def corners(entry: Mapping[str, Any]) -> np.ndarray:
    """Return left, top, right, bottom of an entry's ``bbox``."""
    left, top, width, height = entry["bbox"]
    return np.array([left, top, left + width, top + height])
