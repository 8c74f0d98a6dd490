"""The one form in memory of images with boxes, whatever file they come from."""

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
        width: In pixels, as the annotation says or else its header, as a viewer shows it; 0
            where nothing does.
        height: Height in pixels, read in the same way.
        boxes: Its boxes, in the order of the file.
        path: Where it is, or None if it was not found.
        id: COCO's ``id``, an integer or text; None in the other formats.
        split: ``train``, ``val`` or ``test`` where the set says so.
        extra: What else its file says of it.
        refused: Why nobody can tell where its boxes lie; None if they can be used.
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
        source: What was read, as the user would type it.
        form: ``coco``, ``voc`` or ``yolo``.
        classes: The names that the set knows; a box with another label has an unknown class.
        images: Every image, those without boxes too.
        category_ids: COCO's number of each class, None in the other formats.
        problems: What could not be taken in while reading; the rest was.
        extra: What else a COCO file says of the whole set.
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
        """The splits that the set itself names, in the order train, val, test."""
        named = {image.split for image in self.images}
        return tuple(split for split in ("train", "val", "test") if split in named)

    def counts(self) -> dict[str, int]:
        """Return how many boxes each known class has."""
        counts = dict.fromkeys(self.classes, 0)
        for image in self.images:
            for one in image.boxes:
                if one.label in counts:
                    counts[one.label] += 1
        return counts


@dataclass(frozen=True)
class Written:
    """What came of writing a set, in sentences for people.

    Attributes:
        lost: What other programs of the format will not find again.
        notes: What else one needs to know.
    """

    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def is_counted(one: BoxAnnotation) -> bool:
    """Return whether a box is learned from and measured: it is no crowd and not difficult."""
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
