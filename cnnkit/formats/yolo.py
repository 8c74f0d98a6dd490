"""YOLO's text files: one a picture, a line a box: class, centre, width and height, relative.

The label file of ``.../images/a/b.jpg`` is ``.../labels/a/b.txt``, else ``b.txt`` beside it. A
missing or empty one means a background. A line of more than six numbers is a polygon, whose box
is taken; a sixth number is a prediction's score. The names of the classes are in ``data.yaml``,
``classes.txt`` or a ``.names`` file.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.annotations import AnnotatedPicture, BoxAnnotation, BoxProblem, BoxSet
from cnnkit.formats.picture_files import (
    PICTURE_FOLDERS,
    AnnotationNames,
    make_folder,
    read_bounded,
    size_of,
)
from cnnkit.images import Finder
from cnnkit.writers.replacing import replacing

MAX_BYTES = 32 * 1024**2
CLASS_FILES = ("classes.txt", "obj.names", "classes.names", "predefined_classes.txt")
DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml")
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class _Place(NamedTuple):
    """A picture and where its labels are."""

    picture: str
    file: str
    labels: Path | None
    split: str | None


def read_yolo(source: Path, pictures: str | None = None) -> BoxSet:
    """Read a folder of YOLO, or its data.yaml.

    Args:
        source: A ``data.yaml``; a folder with one; a folder with images/ and labels/; labels/
            itself; or a folder with pictures and text files side by side.
        pictures: The folder of the pictures, where it is elsewhere.

    Raises:
        UsageError: There is no picture, or the names of the classes are broken. A wrong line
            only is a problem.
    """
    settings = _settings(source)
    folder = source if source.is_dir() else source.parent
    names = _names(settings, folder)
    places = list(_places(settings, folder, pictures))
    if not places:
        fix = "Labels need their pictures: name their folder with --pictures DIR."
        raise UsageError(broken_rule(str(source), "lead to pictures", "none", fix))
    found, problems = [], []
    highest = -1
    for place in places:
        width, height = size_of(place.picture)
        boxes = []
        for line in _lines(place.labels, problems):
            try:
                boxes.append(_box(line.text, width, height, names))
            except ValueError as error:
                where = f"line {line.number}: {error}"
                problems.append(BoxProblem("malformed", str(place.labels), where))
                continue
            if boxes[-1].label.isdecimal():
                highest = max(highest, int(boxes[-1].label))
        found.append(
            AnnotatedPicture(
                place.file, width, height, tuple(boxes), place.picture, split=place.split
            )
        )
    if not names:
        names = tuple(str(number) for number in range(min(highest, 9999) + 1))
    return BoxSet(str(source), "yolo", names, tuple(found), None, tuple(problems))


def _settings(source: Path) -> dict[str, Any]:
    """Return the content of data.yaml, {} where there is none."""
    candidates = [source / name for name in DATA_FILES]
    if source.is_dir() and source.name == "labels":
        candidates += [source.parent / name for name in DATA_FILES]
    path = next((p for p in candidates if p.is_file()), None) if source.is_dir() else source
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(read_bounded(path, 1024**2))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UsageError(broken_rule(str(path), "be YAML", reason)) from error
    if not isinstance(content, dict):
        raise UsageError(broken_rule(str(path), "have names, train and val", "no such keys"))
    return content


def _names(settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    names = settings.get("names")
    if isinstance(names, dict):
        try:
            highest = max(map(int, names), default=-1)
            if not -1 <= highest <= 9999 or min(map(int, names), default=0) < 0:
                raise ValueError
            names = [names.get(n, names.get(str(n), str(n))) for n in range(highest + 1)]
        except (ValueError, TypeError):
            rule = "number its classes from 0 to at most 9999"
            raise UsageError(broken_rule("names", rule, str(names)[:80])) from None
    if names is None:
        places = itertools.product((folder, folder.parent, folder / "labels"), CLASS_FILES)
        path = next((f / name for f, name in places if (f / name).is_file()), None)
        if path is None:
            return ()
        return read_class_names(path)
    if not isinstance(names, list) or not all(isinstance(n, str | int) for n in names):
        raise UsageError(broken_rule("names", "be a list of names", str(names)[:80]))
    return _distinct([str(name).strip() for name in names])


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the names in a file, one a line.

    Raises:
        UsageError: It cannot be read, or a name is there twice.
    """
    text = read_bounded(path, 1024**2).decode("utf-8-sig", "replace")
    return _distinct([line.strip() for line in text.rstrip("\r\n").split("\n")])


def _distinct(names: list[str]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(broken_rule("names", "differ from each other", f"{twice!r} twice"))
    return tuple(names)


def _places(settings: dict[str, Any], folder: Path, pictures: str | None) -> Iterator[_Place]:
    if pictures is not None:
        labels = folder / "labels" if (folder / "labels").is_dir() else folder
        yield from _scanned(Path(pictures), labels, None)
        return
    listed = {key: settings[key] for key in SPLIT_KEYS if settings.get(key)}
    if listed:
        base = folder / str(settings.get("path") or "")
        for key, entries in listed.items():
            for entry in entries if isinstance(entries, list) else [entries]:
                yield from _of_entry(str(entry), base, folder, SPLIT_KEYS[key])
        return
    above = folder.parent if folder.name == "labels" else folder
    images = next((above / name for name in PICTURE_FOLDERS if (above / name).is_dir()), folder)
    labels = above / "labels" if (above / "labels").is_dir() else None
    yield from _scanned(images, labels, None)


def _of_entry(entry: str, base: Path, folder: Path, split: str) -> Iterator[_Place]:
    """Yield the pictures of one entry of data.yaml: a folder, or a list of files."""
    shortened = entry.removeprefix("../").removeprefix("./")
    tried = (base / entry, folder / entry, folder / shortened)
    path = next((place for place in tried if place.exists()), None)
    if path is None:
        rule = f"name existing pictures under {split}"
        raise UsageError(broken_rule("data.yaml", rule, entry))
    if path.is_dir():
        yield from _scanned(path, None, split)
        return
    text = read_bounded(path, MAX_BYTES).decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        if name := line.strip():
            picture = next((p for p in (base / name, path.parent / name) if p.is_file()), None)
            place = str(picture or base / name)
            yield _Place(place, os.path.basename(name), label_file(place), split)


def _scanned(images: Path, labels: Path | None, split: str | None) -> Iterator[_Place]:
    """Yield the pictures of a folder; their labels are in `labels`, else by YOLO's rule."""
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


def label_file(picture: str) -> Path | None:
    """Return the label file of a picture: the last images/ of its path becomes labels/."""
    mark = f"{os.sep}images{os.sep}"
    whole = os.path.abspath(picture)
    if mark in whole:
        before, _, after = whole.rpartition(mark)
        found = _existing(f"{before}{os.sep}labels{os.sep}{after}")
        if found is not None:
            return found
    return _existing(picture)


def _existing(picture: str) -> Path | None:
    """Return the text file beside that name: of the full name, else of the stem."""
    for name in (f"{picture}.txt", f"{os.path.splitext(picture)[0]}.txt"):
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


def _box(line: str, width: int, height: int, names: Sequence[str]) -> BoxAnnotation:
    """Return the box of one line.

    Raises:
        ValueError: It is no line of YOLO.
    """
    words = line.split()
    try:
        number = int(words[0])
        values = [float(word) for word in words[1:]]
    except (ValueError, IndexError):
        raise ValueError(f"no numbers: {line.strip()[:60]!r}") from None
    label = names[number] if 0 <= number < len(names) else str(number)
    if len(values) in (4, 5):
        x, y, w, h = values[:4]
        score = values[4] if len(values) == 5 else None
        box = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
        return BoxAnnotation(label, tuple(map(_settled, box)), score)
    if len(values) >= 6 and len(values) % 2 == 0:
        across, down = values[::2], values[1::2]
        left, top = min(across) * width, min(down) * height
        box = (left, top, max(across) * width - left, max(down) * height - top)
        return BoxAnnotation(label, box, extra={"polygon": values})
    raise ValueError(f"{len(words)} numbers, where 5 or 6 make a box")


def _settled(value: float) -> float:
    """Return a number of pixels without the noise of having been relative."""
    return round(value, 6) if math.isfinite(value) else value


def write_yolo(
    folder: Path,
    pictures: Iterable[AnnotatedPicture],
    classes: Sequence[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write one text file a picture, in folders like the pictures' own, and classes.txt.

    A picture without boxes gets an empty file; one without a size gets none of its boxes.

    Args:
        folder: Where to, usually labels/ beside images/; made if needed.
        pictures: What to write.
        classes: The names behind the numbers. A box with another label is left out.
        overwrite: Whether the folder may hold files already.

    Raises:
        UsageError: The folder has files.
        OutputError: A file cannot be written.
    """
    make_folder(folder, overwrite)
    numbers = {name: number for number, name in enumerate(classes)}
    names = AnnotationNames(".txt", taken=CLASS_FILES)
    for picture in pictures:
        path = folder / names.name(picture.file)
        make_folder(path.parent, overwrite=True)
        with replacing(path) as file:
            for one in picture.boxes:
                if one.label in numbers and picture.width and picture.height:
                    file.write(_line(one, picture, numbers[one.label]).encode())
    with replacing(folder / "classes.txt") as file:
        text = "".join(" ".join(name.split()) + "\n" for name in classes)
        file.write(text.encode("utf-8", "replace"))


def _line(one: BoxAnnotation, picture: AnnotatedPicture, number: int) -> str:
    polygon = one.extra.get("polygon")
    if polygon and one.score is None:
        return f"{number} {' '.join(map(_digits, polygon))}\n"
    left, top, width, height = one.box
    values = [
        (left + width / 2) / picture.width,
        (top + height / 2) / picture.height,
        width / picture.width,
        height / picture.height,
    ]
    values += [one.score] if one.score is not None else []
    return f"{number} {' '.join(map(_digits, values))}\n"


def _digits(value: float) -> str:
    """Return ten decimals at most: a millionth of a pixel in a picture of 10,000."""
    return f"{value:.10f}".rstrip("0").rstrip(".") or "0"
