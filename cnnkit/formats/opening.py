"""Reads and writes all three formats: ``coco:FILE.json``, ``voc:FOLDER``, ``yolo:FOLDER``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.annotations import AnnotatedImage, BoxProblem, BoxSet, Written
from cnnkit.formats.coco import read_coco, write_coco
from cnnkit.formats.guessing import guessed_form
from cnnkit.formats.joining import joined
from cnnkit.formats.naming import from_one_folder
from cnnkit.formats.normal_names import gives_normal_names
from cnnkit.formats.turning import as_shown
from cnnkit.formats.voc import read_voc, write_voc
from cnnkit.formats.yolo import read_yolo
from cnnkit.formats.yolo_writing import write_yolo
from cnnkit.writers.targets import check_empty, check_folder_name

FORMS = ("coco", "voc", "yolo")
_SPLIT_WORDS = (("train", "train"), ("valid", "val"), ("val", "val"), ("test", "test"))


def with_form(text: str) -> tuple[str | None, str]:
    """Return the format of a prefix, or None, and the path after it.

    ``coco:a.json`` is ("coco", "a.json"); ``a.json`` is (None, "a.json").
    """
    form, mark, path = text.partition(":")
    if mark and form.lower() in FORMS:
        if not path:
            raise UsageError(broken_rule(f"{form}:", "be followed by a path", text))
        return form.lower(), path
    return None, text


@gives_normal_names
def read_boxes(source: str, images: str | None = None, option: str = "`data`") -> BoxSet:
    """Read images with boxes in any of the three formats, in pixels of the upright images.

    Annotations of the stored pixels are rotated by the images' EXIF orientation; see
    `cnnkit.formats.turning.as_shown`.

    Args:
        source: A path, optionally after ``coco:``, ``voc:`` or ``yolo:``. A folder for COCO may
            have one JSON per split, in it, in annotations/ or in a folder per split.
        images: The folder of the images, if they are not near the annotations.
        option: The parameter that named the source, for the message.

    Raises:
        UsageError: It has none of the formats; the message says what was expected.
    """
    form, name = with_form(source)
    path = Path(name)
    if not path.exists():
        raise UsageError(broken_rule(option, "be a file or a folder", name, "It does not exist."))
    if images is not None and not Path(images).is_dir():
        raise UsageError(broken_rule("`images`", "be a folder", images))
    form = form or guessed_form(path)
    if form is None:
        fix = "Write coco:, voc: or yolo: before it to say which it is."
        rule = "be COCO's JSON, Pascal VOC's XML or YOLO's text files"
        raise UsageError(broken_rule(option, rule, name, fix))
    placed: Sequence[AnnotatedImage]
    problems: list[BoxProblem] = []
    if form == "yolo":  # relative to the upright image: no size can differ
        found = read_yolo(path, images)
        placed = found.images
    else:
        found = (
            _read_coco(path, images) if form == "coco" else read_voc(_folder(path, form), images)
        )
        _refuse_relative(found)
        placed, problems = as_shown(found.images)
    single, repeated = joined(placed)
    problems = [*found.problems, *problems, *repeated]
    return dataclasses.replace(found, images=tuple(single), problems=tuple(problems))


def _refuse_relative(boxes: BoxSet) -> None:
    """Refuse a set in pixels whose boxes all end within the first one: they are relative."""
    sides = [one.box for image in boxes.images for one in image.boxes]
    ends = all(
        left + width <= 1 and top + height <= 1  # not of NaN
        for left, top, width, height in sides
    )
    if ends and any(side % 1 for box in sides for side in box):
        fix = "Multiply them by the width and height of their image; YOLO's files have such boxes."
        received = "boxes relative to the image, from 0 to 1"
        raise UsageError(broken_rule(boxes.source, "have boxes in pixels", received, fix))


def _folder(path: Path, form: str) -> Path:
    if not path.is_dir():
        raise UsageError(broken_rule(f"{form}:", "name a folder", path))
    return path


def is_box_set(source: str) -> bool:
    """Return whether a source is images with boxes, by its prefix or its content."""
    form, name = with_form(source)
    return form is not None or guessed_form(Path(name)) is not None


def _coco_files(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the COCO files of a folder, each with its split."""
    for found in (
        sorted(folder.glob("*/_annotations.coco.json")),
        sorted((folder / "annotations").glob("instances*.json")),
        sorted((folder / "annotations").glob("*.json")),
        sorted(folder.glob("*.json")),
    ):
        if found:
            return [(path, _split_word(path, folder)) for path in found]
    return []


def _split_word(path: Path, folder: Path) -> str | None:
    text = path.relative_to(folder).as_posix().lower().removeprefix("annotations/")
    return next((split for word, split in _SPLIT_WORDS if word in text), None)


def _read_coco(path: Path, images: str | None) -> BoxSet:
    if path.is_file():
        return read_coco(path, images)
    files = _coco_files(path)
    if len(files) > 1:
        files = [(file, split) for file, split in files if split is not None]
    splits = [split for _, split in files]
    if not files or len(set(splits)) < len(splits):
        received = ", ".join(file.name for file, _ in files) or "none"
        rule = "hold one JSON, or one for each of train, val and test"
        raise UsageError(broken_rule(str(path), rule, received, "Name the file itself."))
    sets = [read_coco(file, images, split) for file, split in files]
    return _merged(str(path), sets) if len(sets) > 1 else sets[0]


def _merged(source: str, sets: Sequence[BoxSet]) -> BoxSet:
    """Return several sets as one; duplicate image ids are dropped."""
    numbers: dict[str, int] = {}
    for one in sets:
        for name, number in zip(one.classes, one.category_ids or (), strict=True):
            numbers.setdefault(name, number)
    if len(set(numbers.values())) < len(numbers):
        numbers = {name: place for place, name in enumerate(numbers, start=1)}
    met: set[object] = set()
    merged: list[AnnotatedImage] = []
    for image in (image for one in sets for image in one.images):
        again = image.id in met
        met.add(image.id)
        merged.append(dataclasses.replace(image, id=None) if again else image)
    problems = tuple(problem for one in sets for problem in one.problems)
    ids = tuple(numbers.values())
    named = from_one_folder(merged)
    extra = _merged_extra([one.extra for one in sets])
    return BoxSet(source, "coco", tuple(numbers), named, ids, problems, extra)


def _merged_extra(extras: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the top-level fields of files: the first value, but all licenses and all names."""
    merged: dict[str, Any] = {}
    for key, value in (item for extra in extras for item in extra.items()):
        known = merged.setdefault(key, value)
        if key == "licenses" and isinstance(known, list) and isinstance(value, list):
            merged[key] = known + [one for one in value if one not in known]
        elif key == "categories":
            merged[key] = {**value, **known}
    return merged


def write_boxes(
    target: str,
    images: Iterable[AnnotatedImage],
    classes: Sequence[str],
    *,
    category_ids: Sequence[int] | None = None,
    extra: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Written:
    """Write images with boxes in one of the three formats, with one image in memory at a time.

    Args:
        target: ``coco:FILE.json``, ``voc:FOLDER`` or ``yolo:FOLDER``.
        images: The images.
        classes: The labels to write, in the order of their numbers.
        category_ids: For COCO, by default 1, 2, ...
        extra: For COCO: other top-level keys of the file.
        overwrite: Whether to replace a file, or write among the files of a folder.

    Returns:
        What other programs cannot read, and other messages.

    Raises:
        UsageError: The target is invalid, or already exists.
        OutputError: The output cannot be written.
    """
    form, path = check_target(target, overwrite=overwrite)
    if form == "coco":
        write_coco(path, images, classes, category_ids, extra)
        return Written()
    if form == "voc":
        write_voc(path, images, classes, overwrite=overwrite)
        return Written()
    return write_yolo(path, images, classes, overwrite=overwrite)


def check_target(
    target: str, *, overwrite: bool = False, of_shard: bool = False
) -> tuple[str, Path]:
    """Check a target and return its format and path.

    Args:
        target: As of `write_annotations`.
        overwrite: Whether it may exist.
        of_shard: Whether it is that of one shard of a run.

    Raises:
        UsageError: It has no prefix, or already exists.
    """
    form, name = with_form(target)
    path = Path(name)
    if form is None:
        rule = "begin with coco:, voc: or yolo:"
        raise UsageError(broken_rule("the target", rule, target))
    if form == "coco":
        if path.suffix.lower() != ".json":
            raise UsageError(broken_rule("coco:", "name a .json file", name))
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(broken_rule("coco:", "be a file in an existing folder", name))
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists already. Use `overwrite=True` to overwrite it.")
    elif path.exists() and not path.is_dir():
        raise UsageError(broken_rule(f"{form}:", "name a folder", f"the file {name}"))
    else:
        check_folder_name(f"{form}:", path)
        if not overwrite:
            check_empty(path, of_shard=of_shard)
    return form, path
