"""Pascal VOC's XML, one file per image; corners count pixels from 1, both ends included.

A box of VOC that covers the columns xmin to xmax begins at xmin - 1 and is xmax - xmin + 1 wide.
The files are read without entities, document types or unbounded nesting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, indent, tostring
from xml.parsers import expat

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, BoxProblem, BoxSet
from cnnkit.formats.image_files import (
    IMAGE_FOLDERS,
    AnnotationNames,
    ImageFinder,
    inside,
    make_folder,
    read_bounded,
)
from cnnkit.names import normal_name
from cnnkit.writers.replacing import replacing

MAX_BYTES = 32 * 1024**2
MAX_DEPTH = 32
_YES = ("1", "1.0", "true", "yes")
_EXTRA_TAGS = ("pose", "occluded")
# In the lists of a class, a number after each name says whether the image shows it.
_SCORED = re.compile(r"\s+(-1|0|1)$")
SPLIT_FOLDER = os.path.join("ImageSets", "Main")
_SPLITS = {"train": "train", "val": "val", "test": "test"}
# Control characters that XML 1.0 does not allow, and halves of surrogate pairs.
_UNWRITABLE = {c: "�" for c in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)}


def read_voc(folder: Path, images: str | None = None) -> BoxSet:
    """Read every XML file in and below a folder.

    Args:
        folder: The folder of the annotations, or the one above with the images.
        images: The folder of the images; by default the usual ones near it.

    Raises:
        UsageError: There is no annotation. An invalid one is only a problem.
    """
    top, files = _annotation_files(folder)
    if not files:
        raise UsageError(broken_rule(str(folder), "hold Pascal VOC's .xml files", "none"))
    near = [top, *(top.parent / name for name in IMAGE_FOLDERS), folder]
    near += [folder / name for name in IMAGE_FOLDERS]
    finder = ImageFinder([images] if images else near)
    splits = _splits(folder) or _splits(top) or _splits(top.parent)
    found: list[AnnotatedImage] = []
    problems: list[BoxProblem] = []
    for path in files:
        try:
            root = parse_safely(read_bounded(path, MAX_BYTES))
            found.append(_image(root, path, top, finder, splits, problems))
        except (ParseError, UsageError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            problems.append(BoxProblem("malformed", str(path), reason))
    classes = sorted({one.label for image in found for one in image.boxes})
    return BoxSet(str(folder), "voc", tuple(classes), tuple(found), None, tuple(problems))


def _annotation_files(folder: Path) -> tuple[Path, list[Path]]:
    """Return the folder that the annotations' names are relative to, and the files."""
    for name in ("Annotations", "annotations"):
        if (folder / name).is_dir() and not any(folder.glob("*.xml")):
            folder = folder / name
            break
    found = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        found += [Path(place, n) for n in sorted(names) if n.lower().endswith(".xml")]
    return folder, found


def _splits(folder: Path) -> dict[str, str]:
    """Return the split of each stem from ImageSets/Main, if it exists."""
    found: dict[str, str] = {}
    for name, split in _SPLITS.items():
        path = folder / SPLIT_FOLDER / f"{name}.txt"
        if path.is_file():
            lines = read_bounded(path, MAX_BYTES).decode("utf-8", "surrogateescape").split("\n")
            lines = [line.rstrip("\r") for line in lines if line.strip()]
            # A space at the end may be the file's own.
            found |= {_SCORED.sub("", line): split for line in lines}
            for line in lines:
                found.setdefault(_SCORED.sub("", line.strip()), split)
    return found


def parse_safely(content: bytes) -> Element:
    """Parse XML without document types, entities or deep nesting.

    Raises:
        ParseError: It is another file; the message says why.
    """
    parser, builder = expat.ParserCreate(), TreeBuilder()
    depth = 0

    def refuse(*_: Any) -> None:
        raise ParseError("a document type or entity, which annotations do not need")

    def start(tag: str, attributes: dict[str, str]) -> None:
        """Begin an element, unless it is nested too deeply."""
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ParseError(f"elements nested deeper than {MAX_DEPTH}")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ParseError(f"no XML: {error}") from error
    return builder.close()


def _image(
    root: Element,
    path: Path,
    top: Path,
    finder: ImageFinder,
    splits: dict[str, str],
    problems: list[BoxProblem],
) -> AnnotatedImage:
    relative = path.relative_to(top)
    literal = root.findtext("filename") or ""  # the spaces around it may be the file's own
    literal, file = (
        f"{relative.parent.as_posix()}/{os.path.basename(inside(name or relative.stem))}"
        for name in (literal if literal.strip() else "", literal.strip())
    )
    place, file = finder.locate(file, inside(relative.with_suffix("").as_posix()), literal)
    boxes = []
    for number, element in enumerate(root.iter("object")):
        try:
            boxes.append(_box(element))
        except ValueError as error:
            problems.append(BoxProblem("malformed", str(path), f"object {number + 1}: {error}"))
    width, height = _side(root, "size/width"), _side(root, "size/height")
    split = splits.get(relative.with_suffix("").as_posix()) or splits.get(relative.stem)
    return AnnotatedImage(file, width, height, tuple(boxes), place, split=split)


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _side(root: Element, tag: str) -> int:
    try:
        return max(0, int(float(_text(root, tag))))
    except (ValueError, OverflowError):
        return 0


def _box(element: Element) -> BoxAnnotation:
    """Return an object's box.

    Raises:
        ValueError: It has no name, or not four numbers.
    """
    label = normal_name(_text(element, "name"))
    if not label:
        raise ValueError("it has no name")
    try:
        corners = [
            float(_text(element, f"bndbox/{tag}")) for tag in ("xmin", "ymin", "xmax", "ymax")
        ]
    except ValueError:
        raise ValueError("bndbox lacks a number among xmin, ymin, xmax, ymax") from None
    left, top, right, bottom = corners
    score = _text(element, "score")
    return BoxAnnotation(
        label,
        (left - 1, top - 1, right - left + 1, bottom - top + 1),
        float(score) if score else None,
        difficult=_text(element, "difficult").lower() in _YES,
        truncated=_text(element, "truncated").lower() in _YES,
        extra={tag: text for tag in _EXTRA_TAGS if (text := _text(element, tag))},
    )


def write_voc(
    folder: Path,
    images: Iterable[AnnotatedImage],
    classes: Iterable[str] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write one XML file per image, in the same folders as the images.

    Splits become ImageSets/Main/train.txt and so on in the folder. Whole pixels stay
    integers; fractions are written as such.

    Args:
        folder: The target folder; created if missing.
        images: The images, including those without boxes.
        classes: The labels to write, None for all.
        overwrite: Whether the folder may have files.

    Raises:
        UsageError: The folder has files.
        OutputError: A file cannot be written.
    """
    make_folder(folder, overwrite)
    names = AnnotationNames(".xml")
    kept = None if classes is None else set(classes)
    splits: dict[str, list[str]] = {}
    for image in images:
        name = names.name(image.file)
        make_folder((folder / name).parent, overwrite=True)
        with replacing(folder / name) as file:
            file.write(_document(image, kept))
        if image.split is not None:
            splits.setdefault(image.split, []).append(name.removesuffix(".xml"))
    _write_splits(folder / SPLIT_FOLDER, splits)


def _write_splits(folder: Path, splits: dict[str, list[str]]) -> None:
    for split, stems in splits.items():
        make_folder(folder, overwrite=True)
        with replacing(folder / f"{split}.txt") as file:
            file.write("".join(f"{stem}\n" for stem in stems).encode("utf-8", "surrogateescape"))


def _document(image: AnnotatedImage, kept: set[str] | None) -> bytes:
    root = Element("annotation")
    folder, _, name = inside(image.file).rpartition("/")
    _add(root, (("folder", folder.rpartition("/")[2]), ("filename", name)))
    size = Element("size")
    _add(size, (("width", str(image.width)), ("height", str(image.height)), ("depth", "3")))
    root.append(size)
    _add(root, (("segmented", "0"),))
    root.extend(_objects(image, kept))
    indent(root)
    content: bytes = tostring(root, encoding="utf-8")
    return content + b"\n"


def _objects(image: AnnotatedImage, kept: set[str] | None) -> Iterator[Element]:
    for one in image.boxes:
        if kept is not None and one.label not in kept:
            continue
        element, bounds = Element("object"), Element("bndbox")
        left, top, width, height = one.box
        corners = (left + 1, top + 1, left + width, top + height)
        pose = str(one.extra.get("pose", "Unspecified"))
        flags = (("truncated", str(int(one.truncated))), ("difficult", str(int(one.difficult))))
        _add(element, (("name", one.label), ("pose", pose), *flags))
        if "occluded" in one.extra:
            _add(element, (("occluded", str(one.extra["occluded"])),))
        if one.score is not None:
            _add(element, (("score", repr(float(one.score))),))
        _add(bounds, zip(("xmin", "ymin", "xmax", "ymax"), map(_number, corners), strict=True))
        element.append(bounds)
        yield element


def _add(parent: Element, texts: Iterable[tuple[str, str]]) -> None:
    for tag, text in texts:
        child = Element(tag)
        child.text = text.encode("utf-8", "replace").decode().translate(_UNWRITABLE)
        parent.append(child)


def _number(value: float) -> str:
    """Return a number without trailing zeros, rounded to a millionth of a pixel."""
    rounded = round(float(value), 6)
    return str(int(rounded)) if rounded.is_integer() else repr(rounded)
