"""Images with boxes in memory, the same for every file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class BoxAnnotation:
    """One box as annotated. It may be invalid; see `cnnkit.formats.problems`.

    Attributes:
        label: Class name.
        box: Left, top, width, height in pixels of the image, from 0; may be fractional.
        score: Score of a prediction, 0 to 1; None for ground truth.
        crowd: Whether it is a crowd of several objects (COCO's ``iscrowd``).
        difficult: Whether it is ignored in evaluation (Pascal VOC's ``difficult``).
        truncated: Whether the object extends beyond the box (Pascal VOC's ``truncated``).
        area: Area of the object itself in square pixels, if given in the file.
        extra: Other fields of its file, such as COCO's ``segmentation``.
    """

    label: str
    box: tuple[float, float, float, float]
    score: float | None = None
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False
    area: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoxProblem:
    """A problem with the boxes of a data set.

    Attributes:
        code: Machine-readable code, a key of `cnnkit.formats.problems.PROBLEMS`.
        path: The image or annotation file with the problem.
        detail: Human-readable detail.
        index: Index of the box in its image, from 0; None if it is not about a single box.
    """

    code: str
    path: str
    detail: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image and its boxes; an image without boxes is a background.

    Attributes:
        file: Its name relative to the folder of the images, with ``/`` between folders.
        width: Width in pixels of the upright image, from the annotation or else from the image's
            header; 0 if unknown.
        height: Height in pixels, from the same source.
        boxes: Its boxes, in the order of the file.
        path: Path of the image, or None if it was not found.
        id: COCO's ``id``, an integer or text; None in the other formats.
        split: ``train``, ``val`` or ``test``, if the set says so.
        extra: Other fields of its file.
        refused: Why its boxes cannot be located; None if they can be used.
    """

    file: str
    width: int
    height: int
    boxes: tuple[BoxAnnotation, ...] = ()
    path: str | None = None
    id: int | str | None = None
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None


@dataclass(frozen=True)
class BoxSet:
    """Images with boxes.

    Attributes:
        source: The source as the user would type it.
        form: ``coco``, ``voc`` or ``yolo``.
        classes: The class names of the set; a box with another label has an unknown class.
        images: All images, including those without boxes.
        category_ids: COCO's id of each class, None in the other formats.
        problems: Entries that could not be read; the others were.
        extra: Other top-level fields of a COCO file.
    """

    source: str
    form: str
    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    category_ids: tuple[int, ...] | None = None
    problems: tuple[BoxProblem, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits named in the set, in the order train, val, test."""
        named = {image.split for image in self.images}
        return tuple(split for split in ("train", "val", "test") if split in named)

    def counts(self) -> dict[str, int]:
        """Return the number of boxes of each known class."""
        counts = dict.fromkeys(self.classes, 0)
        for image in self.images:
            for one in image.boxes:
                if one.label in counts:
                    counts[one.label] += 1
        return counts


@dataclass(frozen=True)
class Written:
    """The result of writing a set, as messages.

    Attributes:
        lost: What other programs cannot read from the file.
        notes: Other messages.
    """

    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def is_counted(one: BoxAnnotation) -> bool:
    """Return whether a box counts in training and evaluation: neither crowd nor difficult."""
    return not (one.crowd or one.difficult)


def corners_of(boxes: tuple[BoxAnnotation, ...]) -> np.ndarray:
    """Return boxes as left, top, right, bottom: float64 (boxes, 4), pixels."""
    array = np.array([one.box for one in boxes], np.float64).reshape(-1, 4)
    array[:, 2:] += array[:, :2]
    return array


def image_of_row(row: Mapping[str, Any]) -> AnnotatedImage:
    """Return the predictions of one row of ``cnnkit detect``.

    Args:
        row: With ``path``, ``width``, ``height`` and ``detections`` of ``label``, ``score`` and
            ``box`` (left, top, width, height in pixels).
    """
    boxes = []
    for one in row["detections"]:
        left, top, width, height = map(float, one["box"])
        score = float(one["score"])
        boxes.append(BoxAnnotation(one["label"], (left, top, width, height), score=score))
    return AnnotatedImage(row["path"], row["width"], row["height"], tuple(boxes), row["path"])
