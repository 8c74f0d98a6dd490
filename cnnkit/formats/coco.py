"""COCO's JSON of images, categories and annotations; read at once, written incrementally.

Format: https://cocodataset.org/#format-data. ``bbox`` is left, top, width, height in pixels
from 0; ids of categories may have gaps.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, BoxProblem, BoxSet
from cnnkit.formats.image_files import (
    IMAGE_FOLDERS,
    ImageFinder,
    read_bounded,
)
from cnnkit.names import normal_name
from cnnkit.writers.replacing import replacing

MAX_BYTES = 1024**3
_IMAGE_KEYS = ("id", "file_name", "width", "height")
_BOX_KEYS = (
    "image_id",
    "category_id",
    "bbox",
    "score",
    "iscrowd",
    "area",
    "difficult",
    "truncated",
)
_SET_KEYS = ("images", "annotations", "categories")
_SPOOL_CHARACTERS = 1024**2


def read_coco(path: Path, images: str | None = None, split: str | None = None) -> BoxSet:
    """Read a COCO file.

    Args:
        path: The JSON.
        images: The folder that its file names are relative to; by default the usual ones near it.
        split: The split of every image.

    Raises:
        UsageError: The file has another format. A single invalid entry is only a problem.
    """
    content = _content(path)
    names, more = {}, {}
    for category in content.get("categories", []):
        identity = _identity(category.get("id")) if isinstance(category, dict) else None
        if identity is not None:
            name = normal_name(str(category.get("name", identity)))
            names[identity] = name
            more[name] = {k: v for k, v in category.items() if k not in ("id", "name")}
    problems: list[BoxProblem] = []
    identities = {_identity(one.get("id")) for one in content["images"] if isinstance(one, dict)}
    boxes = _boxes(content["annotations"], names, identities, str(path), problems)
    finder = ImageFinder([images] if images else image_folders(path))
    known: dict[int | str, AnnotatedImage] = {}
    for number, entry in enumerate(content["images"]):
        image = _image(entry, boxes, finder, split)
        if image is None or image.id is None or image.id in known:
            detail = f"images[{number}] has no id and file_name of its own"
            problems.append(BoxProblem("malformed", str(path), detail))
        else:
            known[image.id] = image
    for lost in boxes.keys() - known.keys():
        detail = f"{len(boxes[lost])} boxes of the image {lost!r}, which is not among the images"
        problems.append(BoxProblem("missing-picture", str(path), detail))
    extra = {key: value for key, value in content.items() if key not in _SET_KEYS}
    extra["categories"] = more
    ids = {name: number for number, name in reversed(names.items())}
    classes = tuple(dict.fromkeys(names.values()))
    numbers = tuple(one for name in classes if isinstance(one := ids[name], int))
    if len(numbers) < len(classes):
        numbers = tuple(range(1, len(classes) + 1))
    return BoxSet(
        str(path), "coco", classes, tuple(known.values()), numbers, tuple(problems), extra
    )


def image_folders(path: Path) -> list[Path]:
    """Return where the images of a COCO file usually are."""
    here, above = path.parent, path.parent.parent
    stem = path.stem.removeprefix("instances_")
    near = [above / stem, above / "images" / stem, here / stem] if stem else []
    folders = [here, *(here / name for name in IMAGE_FOLDERS), *near]
    return [*folders, *(above / name for name in IMAGE_FOLDERS), above]


def _content(path: Path) -> dict[str, Any]:
    rule = "be COCO's JSON with the lists images and annotations"
    try:
        content = json.loads(read_bounded(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UsageError(broken_rule(str(path), rule, f"no JSON ({reason})")) from error
    if isinstance(content, list):
        fix = "A list of results has no images: give the file with images and annotations."
        raise UsageError(broken_rule(str(path), rule, "a list", fix))
    if not isinstance(content, dict):
        raise UsageError(broken_rule(str(path), rule, type(content).__name__))
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise UsageError(broken_rule(str(path), rule, f"no list {key}"))
    if not isinstance(content.get("categories", []), list):
        raise UsageError(broken_rule(str(path), rule, "categories that are no list"))
    return content


def _identity(value: Any) -> int | str | None:
    """Return an id, an integer or a string (pandas writes 1.0 for 1), or None if it is neither."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _meant(identity: int | str, known: Collection[int | str | None]) -> int | str:
    """Return the known id that an entry means: ``"1"`` means 1 where there is no ``"1"``."""
    if identity in known:
        return identity
    if isinstance(identity, int):
        other: int | str = str(identity)
    else:
        other = int(identity) if identity.isascii() and identity.isdigit() else identity
    return other if other in known else identity


def _boxes(
    entries: list[Any],
    names: dict[Any, str],
    identities: Collection[int | str | None],
    path: str,
    problems: list[BoxProblem],
) -> dict[int | str, list[BoxAnnotation]]:
    """Return the boxes by image id."""
    boxes: dict[int | str, list[BoxAnnotation]] = {}
    for number, entry in enumerate(entries):
        try:
            left, top, width, height = map(float, entry["bbox"])
            image, category = map(_identity, (entry["image_id"], entry["category_id"]))
            if image is None or category is None:
                raise TypeError("an id that is no number or text")
            category = _meant(category, names)
            one = BoxAnnotation(
                names.get(category, str(category)),
                (left, top, width, height),
                score=_number(entry.get("score")),
                crowd=_is_set(entry.get("iscrowd")),
                difficult=_is_set(entry.get("difficult")),
                truncated=_is_set(entry.get("truncated")),
                area=_number(entry.get("area")),
                extra={key: value for key, value in entry.items() if key not in _BOX_KEYS},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            detail = f"annotations[{number}]: {type(error).__name__} {error}"[:160]
            problems.append(BoxProblem("malformed", path, detail))
            continue
        boxes.setdefault(_meant(image, identities), []).append(one)
    return boxes


def _is_set(flag: Any) -> bool:
    """Return whether a flag is set; some tools write it as a string, of which "0" is not."""
    if isinstance(flag, str):
        return flag.strip().lower() not in ("", "0", "0.0", "false", "no")
    return bool(flag)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _image(
    entry: Any,
    boxes: dict[int | str, list[BoxAnnotation]],
    finder: ImageFinder,
    split: str | None,
) -> AnnotatedImage | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        return None
    identity = _identity(entry.get("id"))
    if identity is None:
        return None
    path, file = finder.locate(entry["file_name"])
    width, height = (_side(entry.get(name)) for name in ("width", "height"))
    extra = {key: value for key, value in entry.items() if key not in _IMAGE_KEYS}
    own = tuple(boxes.get(identity, ()))
    noted = _split(entry)
    if noted is not None:
        del extra["split"]
    return AnnotatedImage(file, width, height, own, path, identity, split or noted, extra)


def _split(entry: dict[str, Any]) -> str | None:
    """Return the split that `write_coco` has stored, for which COCO has no field."""
    split = entry.get("split")
    return split if split in ("train", "val", "test") else None


def _side(value: Any) -> int:
    number = _number(value)
    return int(number) if number and number > 0 else 0


def write_coco(
    path: Path,
    images: Iterable[AnnotatedImage],
    classes: Sequence[str],
    category_ids: Sequence[int] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a COCO file atomically, with one image in memory at a time.

    It loads in pycocotools; predictions have a ``score`` as in COCO's lists of results.

    Args:
        path: The JSON.
        images: The images; one without an id gets the next number.
        classes: The names of the categories. A box with another label is omitted.
        category_ids: The id of each class, by default 1, 2, ...
        extra: Other top-level keys, such as ``info``; under ``categories`` those of
            each name.

    Raises:
        OutputError: The output cannot be written.
    """
    ids = dict(zip(classes, category_ids or range(1, len(classes) + 1), strict=True))
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool, replacing(path) as file:
        head = {key: value for key, value in (extra or {}).items() if key not in _SET_KEYS}
        more = (extra or {}).get("categories", {})
        categories = [{"id": n, "name": name, **more.get(name, {})} for name, n in ids.items()]
        start = json.dumps(head | {"categories": categories})
        file.write(f'{start[:-1]}, "images": ['.encode())
        _write_entries(file, spool, images, ids)
        file.write(b'\n], "annotations": [')
        spool.seek(0)
        while text := spool.read(_SPOOL_CHARACTERS):
            file.write(text.encode())
        file.write(b"\n]}\n")


def _write_entries(
    file: IO[bytes], spool: IO[str], images: Iterable[AnnotatedImage], ids: dict[str, int]
) -> None:
    """Write the images to the file and the annotations to a spool."""
    used: set[int | str] = set()
    numbers = _Numbers()
    following, count = 1, 0
    for number, image in enumerate(images):
        identity = image.id
        if identity is None or identity in used:
            while following in used:
                following += 1
            identity = following
        used.add(identity)
        entry = {
            "id": identity,
            "file_name": image.file,
            "width": image.width,
            "height": image.height,
            **image.extra,
        }
        if image.split is not None:  # not a field of COCO, but cnnkit reads it
            entry["split"] = image.split
        file.write(f"{',' if number else ''}\n{json.dumps(entry)}".encode())
        for one in image.boxes:
            if one.label in ids:
                count += 1
                entry = _entry(one, numbers.of(one), identity, ids[one.label])
                text = json.dumps(_with_outline(entry, image))
                spool.write(f"{',' if count > 1 else ''}\n{text}")


class _Numbers:
    """The ids of annotations: their own integers if unused, otherwise new ones."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._following = 1

    def of(self, one: BoxAnnotation) -> int:
        """Return a box's own number if it is free, else the next free one."""
        own = one.extra.get("id")
        if not isinstance(own, int) or isinstance(own, bool) or own in self._used:
            while self._following in self._used:
                self._following += 1
            own = self._following
        self._used.add(own)
        return own


def _entry(one: BoxAnnotation, number: int, image: int | str, category: int) -> dict[str, Any]:
    left, top, width, height = map(_plain, one.box)
    entry: dict[str, Any] = {
        **one.extra,
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": _plain(width * height if one.area is None else one.area),
        "iscrowd": int(one.crowd),
    }
    if one.score is not None:
        entry["score"] = one.score
    for name in ("difficult", "truncated"):
        if getattr(one, name):
            entry[name] = 1
    return entry


def _with_outline(entry: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    """Return an entry with YOLO's relative polygon converted to COCO's, in pixels."""
    polygon = entry.pop("polygon", None)
    if polygon and "segmentation" not in entry:
        sides = (image.width, image.height)
        outline = [round(v * sides[n % 2], 3) for n, v in enumerate(polygon)]
        entry["segmentation"] = [outline]
    return entry


def _plain(value: float) -> float | int:
    """Return a whole number as an integer."""
    return int(value) if float(value).is_integer() else float(value)
