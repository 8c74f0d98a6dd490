"""Writes YOLO's text files where YOLO's tools look for them, and the data.yaml of the set."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, Written
from cnnkit.formats.image_files import AnnotationNames, inside, make_folder
from cnnkit.formats.yolo import labels_stem
from cnnkit.formats.yolo_data import CLASS_FILES
from cnnkit.images import Finder
from cnnkit.writers.replacing import replacing

DATA_FILE = "data.yaml"
SPLITS = ("train", "val", "test")
EXAMPLES = 3


def write_yolo(
    folder: Path,
    images: Iterable[AnnotatedImage],
    classes: Sequence[str],
    *,
    overwrite: bool = False,
) -> Written:
    """Write one text file an image, classes.txt, and a data.yaml with path, train and names.

    The labels of an image whose path has a folder ``images`` are looked for in ``labels``
    beside it: if that lies in `folder`, they are put there. Else they get the image's own
    name and folders in `folder`, and data.yaml says so for cnnkit. An image without boxes
    gets an empty file; one without a size gets none of its boxes.

    Args:
        folder: Where to, usually labels/ beside images/; made if needed.
        images: What to write.
        classes: The names behind the numbers. A box with another label is omitted.
        overwrite: Whether the folder may hold files already.

    Returns:
        What YOLO's tools will not find, and what they need to know.

    Raises:
        UsageError: The folder has files.
        OutputError: A file cannot be written.
    """
    make_folder(folder, overwrite)
    numbers = {name: number for number, name in enumerate(classes)}
    names = AnnotationNames(".txt", taken=CLASS_FILES)
    with _Listing(folder) as listing:
        for image in images:
            wanted = _wanted_name(folder, image)
            name = names.name(wanted)
            listing.add(image, wanted, name)
            make_folder((folder / name).parent, overwrite=True)
            with replacing(folder / name) as file:
                for one in image.boxes:
                    if one.label in numbers and image.width and image.height:
                        file.write(_line(one, image, numbers[one.label]).encode())
        _write_class_names(folder / "classes.txt", classes)
        listing.write(classes)
        return listing.written()


def _wanted_name(folder: Path, image: AnnotatedImage) -> str:
    """Return the name in the folder that an image's labels are to be found under, with its ending.

    It is where YOLO's rule says if that lies in the folder, else the image's own name.
    """
    if image.path is not None:
        place = labels_stem(image.path)
        own = os.path.join(os.path.abspath(folder), "")
        if place != os.path.abspath(image.path) and place.startswith(own):
            return place.removeprefix(own).replace(os.sep, "/")
        return inside(image.file)
    return f"/{inside(image.file)}".rpartition("/images/")[2].removeprefix("/")


def _write_class_names(path: Path, classes: Sequence[str]) -> None:
    with replacing(path) as file:
        text = "".join(" ".join(name.split()) + "\n" for name in classes)
        file.write(text.encode("utf-8", "replace"))


class _Split:
    """The images of one split so far: how many, the folder of all, and their paths on disk."""

    def __init__(self) -> None:
        self.count = 0
        self.folder: str | None = None
        self.paths = tempfile.TemporaryFile()

    def add(self, path: str) -> None:
        """Take an image by its absolute path."""
        above = os.path.dirname(path)
        self.folder = above if self.folder is None else os.path.commonpath([self.folder, above])
        self.count += 1
        self.paths.write(os.fsencode(path) + b"\n")

    def is_whole_folder(self) -> bool:
        """Return whether the folder has these images and no other."""
        found = sum(one.failure is None for one in Finder([str(self.folder)]))
        return found == self.count


class _Listing:
    """What data.yaml has to say, gathered while the labels are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._splits: dict[str | None, _Split] = {}
        self._bases: set[str] = set()
        self._clashes: list[str] = []
        self._misplaced: list[tuple[str, str]] = []
        self._clash_count = self._misplaced_count = self._not_found = 0

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *_: object) -> None:
        for split in self._splits.values():
            split.paths.close()

    def add(self, image: AnnotatedImage, wanted: str, name: str) -> None:
        """Take an image.

        Args:
            image: What it is.
            wanted: The name that its labels are looked for under, with the image's ending.
            name: The one that they got.
        """
        if name != f"{os.path.splitext(wanted)[0]}.txt":
            self._clash_count += 1
            self._clashes += [image.file] if self._clash_count <= EXAMPLES else []
        if image.path is None:
            self._not_found += 1
            return
        path = os.path.abspath(image.path)
        if image.split not in self._splits:
            self._splits[image.split] = _Split()
        self._splits[image.split].add(path)
        base = path.removesuffix(inside(image.file).replace("/", os.sep))
        if len(self._bases) < 2:
            self._bases.add(base)
        place = f"{os.path.splitext(labels_stem(path))[0]}.txt"
        own = os.path.join(os.path.abspath(self._folder), os.path.splitext(wanted)[0] + ".txt")
        if place != own:
            self._misplaced_count += 1
            self._misplaced += [(image.file, place)] if not self._misplaced else []

    def write(self, classes: Sequence[str]) -> None:
        """Write data.yaml, and a list of files for each split that is no folder of its own."""
        import yaml

        content: dict[str, Any] = self._places()
        content["names"] = dict(enumerate(classes))
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
        with replacing(self._folder / DATA_FILE) as file:
            file.write(text.encode("utf-8", "backslashreplace"))

    def _places(self) -> dict[str, Any]:
        """Return path, the splits, and labels where YOLO's rule does not lead to them."""
        named = {split: one for split, one in self._splits.items() if split in SPLITS}
        splits = named or ({"train": self._splits[None]} if None in self._splits else {})
        if not splits:
            above = os.path.abspath(self._folder)
            above = os.path.dirname(above) if os.path.basename(above) == "labels" else above
            return {"path": above, "train": "images"}
        base = self._base([str(one.folder) for one in splits.values()])
        content: dict[str, Any] = {"path": base}
        for split in SPLITS:
            if split in splits:
                content[split] = self._entry(split, splits[split], base)
        if self._misplaced_count and len(self._bases) == 1:
            content["labels"] = "."  # cnnkit's own key: relative to this file, names as in path
        return content

    def _base(self, folders: list[str]) -> str:
        """Return the folder that the splits are relative to."""
        if self._misplaced_count and len(self._bases) == 1:
            return os.path.normpath(next(iter(self._bases)))
        top = os.path.commonpath(folders)
        before, found, _ = os.path.join(top, "").rpartition(f"{os.sep}images{os.sep}")
        return before if found and before else top

    def _entry(self, split: str, one: _Split, base: str) -> str:
        if one.is_whole_folder():
            return os.path.relpath(str(one.folder), base).replace(os.sep, "/")
        name = f"data.{split}.txt"
        with replacing(self._folder / name) as file:
            one.paths.seek(0)
            for line in one.paths:
                file.write(line)
        return os.path.abspath(self._folder / name)

    def written(self) -> Written:
        """Return what is to be said."""
        lost, notes = [], []
        if self._clash_count:
            shown = ", ".join(self._clashes)
            lost.append(
                f"{self._clash_count:,} label files are left out of YOLO's rule: another image "
                f"has the same name up to its ending, or a name that is taken ({shown})."
            )
        if self._misplaced:
            file, place = self._misplaced[0]
            notes.append(
                f"YOLO's tools look for the labels of {file} in {place}, not in {self._folder}: "
                "name the folder labels beside images, or move the images to one."
            )
        if self._not_found:
            notes.append(
                f"{self._not_found:,} images were not found: their labels have the names in the "
                "annotations. Give `images`."
            )
        unlisted = self._splits.get(None)
        if unlisted is not None and len(self._splits) > 1:
            notes.append(f"{unlisted.count:,} images of no split are not in data.yaml.")
        return Written(tuple(lost), tuple(notes))


def _line(one: BoxAnnotation, image: AnnotatedImage, number: int) -> str:
    polygon = one.extra.get("polygon")
    if polygon and one.score is None:
        return f"{number} {' '.join(map(_digits, polygon))}\n"
    left, top, width, height = one.box
    values = [
        (left + width / 2) / image.width,
        (top + height / 2) / image.height,
        width / image.width,
        height / image.height,
    ]
    values += [one.score] if one.score is not None else []
    return f"{number} {' '.join(map(_digits, values))}\n"


def _digits(value: float) -> str:
    """Return ten decimals at most: a millionth of a pixel in an image of 10,000."""
    return f"{value:.10f}".rstrip("0").rstrip(".") or "0"
