"""Maps boxes to the upright image, where EXIF rotates the stored one.

Some tools ignore EXIF's ``Orientation`` and annotate the stored pixels. Their annotations have the
stored size: if its sides are swapped, the boxes are rotated too. If neither the upright nor the
stored image has the annotated proportions, the boxes cannot be located.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cnnkit.errors import ImageError
from cnnkit.formats.annotations import AnnotatedImage, BoxAnnotation, BoxProblem
from cnnkit.images import size_and_orientation

# Proportions that differ by less are those of the same image at another size.
SAME_PROPORTIONS = 0.02
# From this EXIF orientation on, height and width are swapped.
SIDEWAYS = 5

Sides = tuple[float, float, float, float]


class _Seen(NamedTuple):
    """What an image's header says about its annotation.

    Attributes:
        image: The annotation.
        orientation: EXIF's orientation, 1 without an image.
        shown: (width, height) of the upright image, None if unknown.
        basis: The image that was annotated: ``shown``, ``stored``, ``either`` or ``neither``.
    """

    image: AnnotatedImage
    orientation: int
    shown: tuple[int, int] | None
    basis: str


def as_shown(
    images: Iterable[AnnotatedImage],
) -> tuple[list[AnnotatedImage], list[BoxProblem]]:
    """Return annotations of the upright images, and a message for each that was changed.

    An annotation without a size gets that of its image. If EXIF swaps the sides of an image and
    the annotation has the stored size, its boxes are rotated. For an image that is mirrored or
    rotated by 180 degrees the size is no evidence: its boxes are rotated if all sideways images
    of the set were annotated as stored. An annotation with other proportions than its image is
    marked as `refused`.

    Args:
        images: Images of one set; those whose file is missing are unchanged.
    """
    seen = [_seen(image) for image in images]
    sideways = {one.basis for one in seen if one.orientation >= SIDEWAYS}
    as_stored = "stored" in sideways and "shown" not in sideways
    found, problems = [], []
    for one in seen:
        basis = one.basis
        if basis == "either":
            basis = "stored" if as_stored else "shown"
        placed, detail = _placed(one, basis)
        found.append(placed)
        if detail:
            problems.append(BoxProblem("size-differs", str(placed.path), detail))
    return found, problems


def one_as_shown(image: AnnotatedImage) -> AnnotatedImage:
    """Return one annotation of the upright image; see `as_shown`."""
    return as_shown([image])[0][0]


def _seen(image: AnnotatedImage) -> _Seen:
    if image.path is None or image.refused:
        return _Seen(image, 1, None, "shown")
    try:
        (height, width), orientation = size_and_orientation(image.path)
    except ImageError:
        return _Seen(image, 1, None, "shown")
    shown = (width, height)
    noted = (image.width, image.height) if image.width and image.height else None
    return _Seen(image, orientation, shown, _basis(noted, shown, orientation))


def _basis(noted: tuple[int, int] | None, shown: tuple[int, int], orientation: int) -> str:
    """Return which image an annotated (width, height) belongs to."""
    stored = shown[::-1] if orientation >= SIDEWAYS else shown
    if noted is None:
        return "either"
    exact = [noted == shown, noted == stored]
    fits = exact if any(exact) else [_alike(noted, shown), _alike(noted, stored)]
    if all(fits):
        # The stored image is upright.
        return "shown" if orientation == 1 else "either"
    return "shown" if fits[0] else "stored" if fits[1] else "neither"


def _alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two sizes have the same proportions."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= SAME_PROPORTIONS


def _placed(one: _Seen, basis: str) -> tuple[AnnotatedImage, str]:
    """Return an annotation of the upright image, and a message if it was changed."""
    image, shown = one.image, one.shown
    if shown is None:
        return image, ""
    said = f"{image.width} x {image.height} noted, {shown[0]} x {shown[1]} shown"
    if basis == "neither":
        reason = f"{said}: the position of its boxes is ambiguous; skipped"
        return dataclasses.replace(image, refused=reason), reason
    if not (image.width and image.height):
        swapped = basis == "stored" and one.orientation >= SIDEWAYS
        width, height = shown[::-1] if swapped else shown
        image = dataclasses.replace(image, width=width, height=height)
    if basis != "stored" or one.orientation == 1:
        return image, ""
    lost = any(_is_mask(box.extra.get("segmentation")) for box in image.boxes)
    masks = "; masks of run lengths are left out" if lost else ""
    turned = "its boxes were turned along with EXIF's orientation"
    return turn(image, one.orientation), f"{said}: {turned}{masks}"


def turn(image: AnnotatedImage, orientation: int) -> AnnotatedImage:
    """Return an annotation of a stored image as one of the upright image.

    Args:
        image: The annotation, in pixels of the stored image.
        orientation: EXIF's orientation, 1 to 8.
    """
    stored = (image.width, image.height)
    boxes = tuple(_turned_box(one, orientation, stored) for one in image.boxes)
    width, height = stored[::-1] if orientation >= SIDEWAYS else stored
    return dataclasses.replace(image, width=width, height=height, boxes=boxes)


def _turned_box(one: BoxAnnotation, orientation: int, stored: tuple[int, int]) -> BoxAnnotation:
    extra = dict(one.extra)
    outlines, points = extra.get("segmentation"), extra.get("keypoints")
    if _is_mask(outlines):
        del extra["segmentation"]
    elif isinstance(outlines, list):
        extra["segmentation"] = [_outline(o, orientation, stored) for o in outlines]
    if isinstance(points, list):
        extra["keypoints"] = _keypoints(points, orientation, stored)
    return dataclasses.replace(one, box=turned(one.box, orientation, stored), extra=extra)


def _is_mask(segmentation: Any) -> bool:
    return isinstance(segmentation, dict)


def turned(box: Sides, orientation: int, stored: tuple[int, int]) -> Sides:
    """Return a box of a stored image in the upright image.

    Args:
        box: Left, top, width, height; a negative side stays negative.
        orientation: EXIF's orientation, 1 to 8.
        stored: (width, height) of the stored image.
    """
    left, top, width, height = box
    right, bottom = stored[0] - left - width, stored[1] - top - height  # from the far edges
    return {
        2: (right, top, width, height),
        3: (right, bottom, width, height),
        4: (left, bottom, width, height),
        5: (top, left, height, width),
        6: (bottom, left, height, width),
        7: (bottom, right, height, width),
        8: (top, right, height, width),
    }.get(orientation, box)


def _outline(outline: Any, orientation: int, stored: tuple[int, int]) -> Any:
    """Return the rotated points of a polygon; anything else is unchanged."""
    if not _are_numbers(outline) or len(outline) % 2:
        return outline
    pairs = zip(outline[::2], outline[1::2], strict=True)
    return [side for x, y in pairs for side in turned((x, y, 0, 0), orientation, stored)[:2]]


def _keypoints(points: Any, orientation: int, stored: tuple[int, int]) -> Any:
    """Return COCO's keypoints (x, y, visibility), rotated; they count whole pixels from 0."""
    if not _are_numbers(points) or len(points) % 3:
        return points
    found: list[float] = []
    for x, y, seen in zip(points[::3], points[1::3], points[2::3], strict=True):
        place = turned((x, y, 1, 1), orientation, stored)[:2] if seen else (x, y)
        found += [*place, seen]
    return found


def _are_numbers(values: Any) -> bool:
    return isinstance(values, Sequence) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
