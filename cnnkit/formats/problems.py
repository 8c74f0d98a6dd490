"""Finds problems of boxes, and fixes them where possible."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, BoxProblem

# The description of each problem.
PROBLEMS = {
    "malformed": "an entry that is not a valid box",
    "missing-picture": "boxes of a missing image",
    "unknown-class": "a class that is not declared in the data set",
    "not-finite": "a coordinate that is not a finite number, or that no image can have",
    "swapped-corners": "corners in the wrong order: the box would have a negative side",
    "outside": "beyond the edge of the image",
    "empty": "no area",
    "duplicate": "the same box of the same class again",
    "repeated-picture": "an image that is listed more than once: its boxes were joined",
    "missing-split": "a split that data.yaml names but that does not exist",
    "size-differs": "the annotation's image size differs from the image",
}
# A smaller excess over the edge is rounding.
EDGE_TOLERANCE = 0.5
# Two boxes are equal if no coordinate differs by more than half of this, in pixels.
SAME = 0.02

# Beyond this, sums and areas of coordinates may no longer be finite.
_MOST_PIXELS = 1e9

Sides = tuple[float, float, float, float]


def mend(
    image: AnnotatedImage, classes: Collection[str] | None = None, *, clip: bool = True
) -> tuple[AnnotatedImage, list[BoxProblem]]:
    """Return an image with valid boxes, and the problems found.

    Swapped corners are corrected and boxes are clipped at the edge; boxes that are not finite,
    have an unknown class or no area, or are duplicates are dropped. The image itself is always
    kept.

    Args:
        image: The image as it was read.
        classes: The known classes; None for any.
        clip: Whether to clip boxes at the edge of the image. If False they are reported but
            unchanged.
    """
    kept: list[BoxAnnotation] = []
    problems: list[BoxProblem] = []
    met: set[tuple[object, ...]] = set()
    for index, one in enumerate(image.boxes):
        box, codes, lost = _examined(one, image, classes, clip)
        if not lost:
            key = (one.label, one.crowd, one.score, *(round(side / SAME) for side in box))
            if key in met:
                codes, lost = [*codes, "duplicate"], True
            met.add(key)
        where = image.path or image.file
        detail = f"{one.label} {_shown(one.box)}"
        problems += [BoxProblem(code, where, detail, index) for code in codes]
        if not lost:
            kept.append(one if box == one.box else dataclasses.replace(one, box=box))
    return dataclasses.replace(image, boxes=tuple(kept)), problems


def _examined(
    one: BoxAnnotation, image: AnnotatedImage, classes: Collection[str] | None, clip: bool
) -> tuple[Sides, list[str], bool]:
    """Return a corrected box, its problems, and whether it cannot be used."""
    if not all(math.isfinite(side) and abs(side) <= _MOST_PIXELS for side in one.box):
        return one.box, ["not-finite"], True
    codes = []
    unknown = classes is not None and one.label not in classes
    if unknown:
        codes.append("unknown-class")
    left, top, width, height = one.box
    if width < 0 or height < 0:
        codes.append("swapped-corners")
        left, top = left + min(0.0, width), top + min(0.0, height)
        width, height = abs(width), abs(height)
    box = (left, top, width, height)
    if image.width and image.height:
        inner = _clipped(box, image.width, image.height)
        if _excess(box, image) > EDGE_TOLERANCE:
            codes.append("outside")
        if clip or inner[2] <= 0 or inner[3] <= 0:
            box = inner
    empty = box[2] <= 0 or box[3] <= 0
    if empty and "outside" not in codes:
        codes.append("empty")
    return box, codes, unknown or empty


def _clipped(box: Sides, width: int, height: int) -> Sides:
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if 0 <= left and 0 <= top and right <= width and bottom <= height:
        return box  # to the last digit
    left, top = max(0.0, left), max(0.0, top)
    return left, top, min(float(width), right) - left, min(float(height), bottom) - top


def _excess(box: Sides, image: AnnotatedImage) -> float:
    """Return by how many pixels a box extends beyond the image."""
    left, top, width, height = box
    right, bottom = left + width - image.width, top + height - image.height
    return max(-left, -top, right, bottom)


def _shown(box: Sides) -> str:
    return f"[{', '.join(f'{side:.6g}' for side in box)}]"
