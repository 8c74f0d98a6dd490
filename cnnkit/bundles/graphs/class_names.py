"""The names of a graph's classes: the user's, the file's, or those of a known data set."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cnnkit.bundles.card import (
    CARD,
    MAX_LABELS_BYTES,
    labels_in,
    read_bounded,
    read_card,
    read_labels,
)
from cnnkit.bundles.embedded import embedded_folder
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.said import Said
from cnnkit.bundles.graphs.scanning import GraphFile
from cnnkit.errors import UsageError

COCO, COCO_NUMBERED = 80, (90, 91)
BACKGROUND = "background"
# What files of labels call the background.
BACKGROUNDS = (BACKGROUND, "???")


def classifier_labels(
    file: GraphFile, classes: int, said: Said, wish: GraphWish
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes' names, and what to say of them."""
    if wish.labels:
        return read_labels(Path(wish.labels), classes), ()
    if said.labels is not None and len(said.labels) == classes:
        return said.labels, ()
    if said.labels is not None:
        made, _ = _made_up(file, classes)
        note = f"{file.path.name} names {len(said.labels)} classes, but gives {classes} scores"
        return made, (f"{note}: using class_0 to class_{classes - 1}. Give `labels`.",)
    if classes in (1000, 1001):
        own = embedded_folder("efficientnet-lite0") / "labels.txt"
        names = read_labels(own, 1000)
        note = f"{classes} classes without `labels`: using ImageNet's names."
        return (BACKGROUND, *names) if classes == 1001 else names, (note,)
    return _made_up(file, classes)


def detector_labels(
    file: GraphFile, classes: int, said: Said, wish: GraphWish
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes' names, and what to say of them."""
    if wish.labels:
        return read_labels(Path(wish.labels), classes or label_count(wish.labels)), ()
    if said.labels and len(said.labels) == (classes or len(said.labels)):
        return said.labels, ()
    if not classes:
        fix = "Give the names of the classes with `labels`."
        raise UsageError(f"{file.path} does not say how many classes it finds. {fix}")
    coco = coco_classes(classes)
    if coco:
        return coco.labels, (f"{classes} classes without `labels`: using COCO's names.",)
    return _made_up(file, classes)


def _made_up(file: GraphFile, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return numbered names, and what to say of them."""
    last = classes - 1
    note = f"{file.path.name} has no labels: using class_0 to class_{last}. Give `labels`."
    return tuple(f"class_{number}" for number in range(classes)), (note,)


def label_count(labels: str | None) -> int:
    """Return how many classes a file of labels names, 0 without one."""
    if labels is None:
        return 0
    return len(labels_in(read_bounded(Path(labels), MAX_LABELS_BYTES), labels))


def without_background(
    file: GraphFile, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels without a first one of the background, and what to say of it.

    TensorFlow's own files of labels begin with one, for code that counts from it.
    """
    if len(labels) < 2 or labels[0].strip(" _").lower() not in BACKGROUNDS:
        return labels, ()
    note = f"the first label, {labels[0]!r}, is left out: its classes are without a background."
    return labels[1:], (f"{file.path.name}: {note}",)


class CocoClasses(NamedTuple):
    """The classes of COCO: their names, and the number of each in its annotations."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]


def coco_classes(classes: int) -> CocoClasses | None:
    """Return COCO's classes as so many, None if nobody counts them so.

    80 are those that there are; 90 are all numbers from 1, of which ten are unused, and 91 those
    from 0, as in TensorFlow's networks and in DETR and RF-DETR.
    """
    if classes not in (COCO, *COCO_NUMBERED):
        return None
    folder = embedded_folder("yolov3-tiny")
    labels = read_labels(folder / "labels.txt", COCO)
    numbers = tuple(read_card(folder / CARD).content["detector"]["category_ids"])
    if classes == COCO:
        return CocoClasses(labels, numbers)
    names = dict(zip(numbers, labels, strict=True))
    every = tuple(range(max(numbers) + 1 - classes, max(numbers) + 1))
    return CocoClasses(tuple(names.get(n, f"unused {n}") for n in every), every)
