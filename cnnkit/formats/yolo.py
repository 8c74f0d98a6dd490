"""Reads YOLO's text files: one per image, one line per box: class, center, width, height, relative.

The label file of ``.../images/a/b.jpg`` is ``.../labels/a/b.txt``, else ``b.txt`` beside it. A
missing or empty one means a background. A line of more than six numbers is a polygon, or the
corners of a rotated box, and is read as its upright box; a sixth number is a prediction's score.
If data.yaml has ``kpt_shape``, keypoints follow each box. The names of the classes are in
``data.yaml``, ``classes.txt`` or a ``.names`` file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, BoxProblem, BoxSet
from cnnkit.formats.image_files import IMAGE_FOLDERS, inside, read_bounded, size_of
from cnnkit.formats.naming import from_one_folder
from cnnkit.formats.problems import Sides
from cnnkit.formats.yolo_data import (
    DATA_FILES,
    SPLIT_KEYS,
    class_names,
    keypoint_shape,
    listed_splits,
    read_settings,
)
from cnnkit.images import Finder

MAX_BYTES = 32 * 1024**2


class _Place(NamedTuple):
    """An image and the path of its labels."""

    image: str
    file: str
    labels: Path | None
    split: str | None


def read_yolo(source: Path, images: str | None = None) -> BoxSet:
    """Read a folder of YOLO, or its data.yaml.

    Args:
        source: A ``data.yaml``; a folder with one; a folder with images/ and labels/; labels/
            itself; or a folder with images and text files side by side.
        images: The folder of the images, if it is elsewhere.

    Raises:
        UsageError: There is no image, or the class names are invalid. An invalid line is only a
            problem.
    """
    settings = read_settings(source)
    folder = _own_folder(source)
    names, pose = class_names(settings, folder), keypoint_shape(settings)
    problems: list[BoxProblem] = []
    places = _places(settings, folder, images, problems)
    if not places:
        if problems:
            rule = "name existing images"
            raise UsageError(broken_rule("data.yaml", rule, problems[0].detail))
        fix = "Labels need their images: name their folder with `images`."
        raise UsageError(broken_rule(str(source), "lead to images", "none", fix))
    found = []
    highest = -1
    for place in places:
        width, height = size_of(place.image)
        boxes = []
        for line in _lines(place.labels, problems):
            try:
                boxes.append(_box(line.text, (width, height), names, pose))
            except ValueError as error:
                where = f"line {line.number}: {error}"
                problems.append(BoxProblem("malformed", str(place.labels), where))
                continue
            if boxes[-1].label.isdecimal():
                highest = max(highest, int(boxes[-1].label))
        found.append(
            AnnotatedImage(place.file, width, height, tuple(boxes), place.image, split=place.split)
        )
    if not names:
        names = tuple(str(number) for number in range(min(highest, 9999) + 1))
    split = any(place.split for place in places)
    images_found = from_one_folder(found) if split else tuple(found)
    return BoxSet(str(source), "yolo", names, images_found, None, tuple(problems))


def _own_folder(source: Path) -> Path:
    """Return the folder of data.yaml, or else the given one."""
    if not source.is_dir():
        return source.parent
    inner = any((source / name).is_file() for name in DATA_FILES)
    above = any((source.parent / name).is_file() for name in DATA_FILES)
    return source.parent if source.name == "labels" and above and not inner else source


@dataclass(frozen=True)
class _Folders:
    """The folders of a set.

    Attributes:
        own: The folder of data.yaml, or the given one.
        base: What the paths of data.yaml are relative to.
        labels: The folder of its labels, if it is not where YOLO's rule says.
    """

    own: Path
    base: Path
    labels: Path | None


def _folders(settings: dict[str, Any], own: Path) -> _Folders:
    """Return the folders of a set, without missing ones if the set was moved."""
    named, labels = settings.get("path"), settings.get("labels")
    base = own / named if isinstance(named, str) else own
    elsewhere = own / labels if isinstance(labels, str) and labels else None
    if elsewhere is not None and not elsewhere.is_dir():
        elsewhere = None
    return _Folders(own, base, elsewhere)


def _places(
    settings: dict[str, Any],
    folder: Path,
    images: str | None,
    problems: list[BoxProblem],
) -> list[_Place]:
    """Return the images of a set; a missing split is a problem."""
    if images is not None:
        labels = folder / "labels" if (folder / "labels").is_dir() else folder
        return list(_scanned(Path(images), labels, None))
    found: list[_Place] = []
    folders = _folders(settings, folder)
    for key, entries in listed_splits(settings).items():
        for entry in entries:
            path = _of_entry(entry, folders)
            if path is None:
                detail = f"{key}: {entry}: no such folder or file"
                problems.append(BoxProblem("missing-split", str(folder), detail))
            else:
                found += _of_split(path, folders, SPLIT_KEYS[key])
    return found or list(_usual_places(folder))


def _usual_places(folder: Path) -> Iterator[_Place]:
    above = folder.parent if folder.name == "labels" else folder
    images = next((above / name for name in IMAGE_FOLDERS if (above / name).is_dir()), folder)
    labels = above / "labels" if (above / "labels").is_dir() else None
    return _scanned(images, labels, None)


def _of_entry(entry: str, folders: _Folders) -> Path | None:
    """Return the folder or list of images that an entry of data.yaml names, None if none."""
    for name in (entry, entry.replace("\\", "/")):
        shortened = name.removeprefix("../").removeprefix("./")
        tried = [folders.base / name, folders.own / name, folders.own / shortened]
        tried += [folders.own.parent / shortened] if folders.own.name == "labels" else []
        for place in tried:
            if place.exists():
                return place
    return None


def _of_split(path: Path, folders: _Folders, split: str) -> Iterator[_Place]:
    """Yield the images of a folder, or of a list of files."""
    if path.is_dir():
        for place in _scanned(path, None, split):
            yield place._replace(labels=_labels_of(place.image, folders))
        return
    text = read_bounded(path, MAX_BYTES).decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        if line.strip():
            yield _listed(line, path.parent, folders, split)


def _listed(line: str, beside: Path, folders: _Folders, split: str) -> _Place:
    """Return the image that a line of a list names; spaces around it may be the file's own."""
    name = line.strip()
    literal = line.rstrip("\r")
    tried = [
        (spelled, top / spelled)
        for spelled in dict.fromkeys((literal, name, name.replace("\\", "/")))
        for top in (folders.base, beside)
    ]
    unknown = (name, folders.base / name)
    named, place = next((one for one in tried if one[1].is_file()), unknown)
    image = str(place)
    return _Place(image, inside(named), _labels_of(image, folders), split)


def _labels_of(image: str, folders: _Folders) -> Path | None:
    """Return an image's label file: where the set says, else by YOLO's rule."""
    if folders.labels is not None:
        name = os.path.relpath(os.path.abspath(image), os.path.abspath(folders.base))
        if not name.startswith(os.pardir):
            return _existing(str(folders.labels / name))
    return label_file(image)


def _scanned(images: Path, labels: Path | None, split: str | None) -> Iterator[_Place]:
    """Yield the images of a folder; their labels are in `labels`, else by YOLO's rule."""
    for found in Finder([str(images)]):
        if found.failure is not None:
            continue
        file = Path(os.path.relpath(found.path, images)).as_posix()
        if labels is None:
            text = label_file(found.path)
        else:
            text = _existing(str(labels / file))
        yield _Place(found.path, file, text, split or _split_of(file))


def _split_of(file: str) -> str | None:
    first = file.split("/")[0].lower() if "/" in file else ""
    return SPLIT_KEYS.get(first)


def label_file(image: str) -> Path | None:
    """Return the label file of an image: the last images/ of its path becomes labels/."""
    return _existing(labels_stem(image)) or _existing(image)


def labels_stem(image: str) -> str:
    """Return an image's absolute path with its last ``images/`` made ``labels/``, if it has one.

    With ``.txt`` for its ending that is where YOLO's tools look for the labels, and only there.
    """
    mark = f"{os.sep}images{os.sep}"
    whole = os.path.abspath(image)
    before, found, after = whole.rpartition(mark)
    return f"{before}{os.sep}labels{os.sep}{after}" if found else whole


def _existing(image: str) -> Path | None:
    """Return the text file beside that name: of the full name, else of the stem."""
    for name in (f"{image}.txt", f"{os.path.splitext(image)[0]}.txt"):
        if os.path.isfile(name):
            return Path(name)
    return None


class _Line(NamedTuple):
    number: int
    text: str


def _lines(path: Path | None, problems: list[BoxProblem]) -> Iterator[_Line]:
    """Yield the lines of a label file that are not empty; one that is no text is a problem."""
    if path is None:
        return
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except (UsageError, UnicodeDecodeError) as error:
        problems.append(BoxProblem("malformed", str(path), str(error)[:160]))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _Line(number, line)


def _box(
    line: str, size: tuple[int, int], names: Sequence[str], pose: tuple[int, int] | None
) -> BoxAnnotation:
    """Return the box of one line.

    Args:
        line: Its text.
        size: (width, height) of the image.
        names: Names of the classes.
        pose: For a pose data set, how many keypoints follow the box and how many values each has.

    Raises:
        ValueError: It is no line of YOLO.
    """
    words = line.split()
    try:
        number = _whole(words[0])
        values = [float(word) for word in words[1:]]
    except (ValueError, IndexError, OverflowError):
        raise ValueError(f"no numbers: {line.strip()[:60]!r}") from None
    label = names[number] if 0 <= number < len(names) else str(number)
    points = pose[0] * pose[1] if pose else 0
    if len(values) in (4 + points, 5 + points):
        box = _sides(values[:4], *size)
        score = values[-1] if len(values) == 5 + points else None
        extra = _keypoints(values[4 : 4 + points], pose[1], size) if pose else {}
        return BoxAnnotation(label, box, score, extra=extra)
    if pose:
        raise ValueError(f"{len(words)} numbers, where kpt_shape makes it {5 + points}")
    # The corners of a turned box with a prediction's score; no pose has so many numbers.
    score = values.pop() if len(values) == 9 else None
    if len(values) >= 6 and len(values) % 2 == 0:
        return BoxAnnotation(label, _around(values, *size), score, extra={"polygon": values})
    fix = "; keypoints need kpt_shape in data.yaml" if len(values) > 6 else ""
    raise ValueError(f"{len(words)} numbers, where 5 or 6 make a box{fix}")


def _whole(word: str) -> int:
    """Return a class's number, which some tools write as 1.0.

    Raises:
        ValueError: It is no whole number.
    """
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():
            raise
        return int(value)


def _sides(values: Sequence[float], width: int, height: int) -> Sides:
    x, y, w, h = values
    left, top = _settled((x - w / 2) * width), _settled((y - h / 2) * height)
    return left, top, _settled(w * width), _settled(h * height)


def _around(values: Sequence[float], width: int, height: int) -> Sides:
    """Return the upright box around the corners of a polygon."""
    across, down = values[::2], values[1::2]
    left, top = min(across) * width, min(down) * height
    return left, top, max(across) * width - left, max(down) * height - top


def _keypoints(values: Sequence[float], numbers: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return YOLO's keypoints as COCO has them: x, y in pixels and 0, 1 or 2 for each."""
    points: list[float] = []
    for start in range(0, len(values), numbers):
        x, y, *rest = values[start : start + numbers]
        seen = rest[0] if rest else 2.0 * bool(x or y)
        points += [_settled(x * size[0]), _settled(y * size[1]), seen]
    return {"keypoints": points, "num_keypoints": sum(seen > 0 for seen in points[2::3])}


def _settled(value: float) -> float:
    """Return a number of pixels without the noise of having been relative."""
    return round(value, 6) if math.isfinite(value) else value
