"""`convert_boxes`: converts boxes between COCO, Pascal VOC and YOLO."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.formats import (
    AnnotatedImage,
    BoxProblem,
    BoxSet,
    check_target,
    read_boxes,
    with_form,
    write_boxes,
)
from cnnkit.formats import mend as mended_boxes
from cnnkit.formats.guessing import guessed_form
from cnnkit.formats.yolo_data import read_class_names
from cnnkit.writers.apart import check_apart
from cnnkit.writers.replacing import check_writable
from cnnkit.writers.targets import claimed_folders

FORM_NAMES = {"voc": "Pascal VOC", "yolo": "YOLO"}


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion: what was written and what was lost.

    Attributes:
        source_form: Format of the source: ``coco``, ``voc`` or ``yolo``.
        target_form: Format of the target: ``coco``, ``voc`` or ``yolo``.
        images: Number of images written.
        boxes: Number of boxes written.
        classes: Class names in order.
        problems: Invalid boxes.
        lost: Messages about what was dropped or cannot be represented in the target.
        notes: Messages about the data set as a whole.
    """

    source_form: str
    target_form: str
    images: int
    boxes: int
    classes: tuple[str, ...]
    problems: tuple[BoxProblem, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every image and box was converted without loss."""
        harmful = [one for one in self.problems if one.code != "size-differs"]
        return not harmful and not any("left out" in sentence for sentence in self.lost)


@keeps_inputs
def convert_boxes(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    mend: bool = False,
    overwrite: bool = False,
) -> Conversion:
    """Convert boxes between COCO's JSON, Pascal VOC's XML and YOLO's text files.

    No image is ever dropped, and boxes are written unchanged, invalid ones too, unless `mend` is
    True.

    Args:
        source: ``coco:FILE.json``, ``voc:FOLDER`` or ``yolo:FOLDER``, or a path without a prefix.
        target: ``coco:FILE.json``, ``voc:FOLDER`` or ``yolo:FOLDER``.
        images: The folder of the images, if they are elsewhere. YOLO's coordinates are relative to
            the image size, so its images must exist.
        labels: A file with one label per line: the classes to keep, in their order.
        mend: Fix or drop invalid boxes.
        overwrite: Overwrite an existing target, or write into a folder that is not empty.

    Returns:
        The numbers of ``.images`` and ``.boxes``, the ``.classes``, the ``.problems`` with boxes,
        what was ``.lost``, and whether the conversion is ``.complete``.

    Raises:
        UsageError: An argument is invalid, or the target would overwrite the source.
        OutputError: The target cannot be written.
    """
    source, target = os.fspath(source), os.fspath(target)
    form, path = check_target(target, overwrite=overwrite)
    check_writable(path)
    check_annotations_apart(source, form, path)
    found = read_boxes(source, None if images is None else os.fspath(images), "`source`")
    classes = read_class_names(Path(labels)) if labels else found.classes
    converted, problems = _converted(found, classes, mend)
    ids = dict(zip(found.classes, found.category_ids or (), strict=False))
    kept_ids = [ids[name] for name in classes] if ids.keys() >= set(classes) else None
    placed = [one for one in converted if not one.refused]
    with claimed_folders([] if form == "coco" else [path], replaces=overwrite):
        written = write_boxes(
            target,
            placed,
            classes,
            category_ids=kept_ids,
            extra=found.extra if found.form == "coco" else None,
            overwrite=overwrite,
        )
    lost = _lost(placed, set(classes), form) + list(written.lost)
    if len(placed) < len(converted):
        lost.append(
            f"{len(converted) - len(placed):,} images are left out: their boxes were made for "
            "other proportions."
        )
    return Conversion(
        found.form,
        form,
        len(placed),
        sum(len(one.boxes) for one in placed),
        tuple(classes),
        tuple(problems),
        tuple(lost),
        (*_dropped(found, form), *written.notes),
    )


def check_annotations_apart(source: str, form: str, target: Path) -> None:
    """Refuse to write annotations over those that are read, or among them.

    Only those of one form have the same endings: any other folder may well be shared.

    Raises:
        UsageError: Names a file of both.
    """
    given_form, name = with_form(source)
    if (given_form or guessed_form(Path(name))) != form:
        return
    suffix = {"coco": ".json", "voc": ".xml", "yolo": ".txt"}[form]
    is_list = name.lower().endswith((".yaml", ".yml", ".txt"))
    read = os.path.dirname(name) or "." if is_list else name
    check_apart(
        (("TO", path) for path in _annotations(target, suffix)),
        (("the annotation", path) for path in _annotations(read, suffix)),
    )


def _annotations(path: str | os.PathLike[str], suffix: str) -> Iterator[str]:
    """Yield a file, or the files with an ending in a folder and all below it."""
    if os.path.isfile(path):
        yield os.fspath(path)
    for above, _, names in os.walk(path):
        yield from (os.path.join(above, n) for n in names if n.lower().endswith(suffix))


def _converted(
    found: BoxSet, classes: tuple[str, ...], mends: bool
) -> tuple[list[AnnotatedImage], list[BoxProblem]]:
    problems = list(found.problems)
    if not mends:
        return list(found.images), problems
    converted = []
    for image in found.images:
        sound, wrong = mended_boxes(image, classes)
        converted.append(sound)
        problems += wrong
    return converted, problems


def _lost(images: Iterable[AnnotatedImage], classes: set[str], form: str) -> list[str]:
    """Return sentences about what the target format has no place for."""
    counts: Counter[str] = Counter()
    for image in images:
        sized = bool(image.width and image.height)
        for one in image.boxes:
            counts["unknown"] += one.label not in classes
            counts["unsized"] += form == "yolo" and not sized
            counts["crowd"] += one.crowd
            counts["difficult"] += one.difficult
            counts["outlines"] += bool(one.extra.get("segmentation"))
            counts["keypoints"] += bool(one.extra.get("keypoints"))
    sentences = []
    if counts["unknown"]:
        sentences.append(f"{counts['unknown']:,} boxes of other classes are left out.")
    if counts["unsized"]:
        fix = "their images' sizes are not known: give `images`."
        sentences.append(f"{counts['unsized']:,} boxes are left out: {fix}")
    if form != "coco":
        sentences += _no_place(form, counts)
    return sentences


def _dropped(found: BoxSet, form: str) -> list[str]:
    """Return sentences about what is said of the whole set, where only COCO has a place for it."""
    if form == "coco":
        marked = found.splits
        fix = "COCO cannot represent them; cnnkit reads them back from `split` of each image."
        return [f"The splits {', '.join(marked)} are kept in one file. {fix}"] if marked else []
    said = [key for key, value in found.extra.items() if value and key != "categories"]
    more = found.extra.get("categories", {})
    said += ["more of the categories"] if any(more.values()) else []
    name = FORM_NAMES[form]
    return [f"{', '.join(said)} dropped: not representable in {name}."] if said else []


def _no_place(form: str, counts: Counter[str]) -> list[str]:
    name = FORM_NAMES[form]
    kinds = [("crowd", "marks of crowds"), ("outlines", "outlines")]
    kinds += [("keypoints", "sets of keypoints")]
    kinds += [("difficult", "marks of difficult boxes")] if form == "yolo" else []
    return [
        f"{counts[key]:,} {what} dropped: not representable in {name}."
        for key, what in kinds
        if counts[key]
    ]
