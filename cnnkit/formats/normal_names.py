"""Normalizes the class names of images with boxes, as all names are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import wraps

from cnnkit.formats.annotations import AnnotatedImage, BoxSet
from cnnkit.names import normal_name

Reader = Callable[..., BoxSet]


def gives_normal_names(read: Reader) -> Reader:
    """Return a reader that normalizes class names with `normal_name`."""

    @wraps(read)
    def reading(*arguments: object, **named: object) -> BoxSet:
        return with_normal_names(read(*arguments, **named))

    return reading


def with_normal_names(found: BoxSet) -> BoxSet:
    """Return a set with classes of the same name merged, with the first one's number."""
    names = [normal_name(name) for name in found.classes]
    images = tuple(map(_image, found.images))
    if names == list(found.classes):
        return dataclasses.replace(found, images=images)
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(name, place)
    ids, extra = found.category_ids, dict(found.extra)
    if isinstance(said := extra.get("categories"), dict):  # COCO's fields of each class, by name
        extra["categories"] = {normal_name(name): more for name, more in said.items()}
    return dataclasses.replace(
        found,
        classes=tuple(places),
        category_ids=None if ids is None else tuple(ids[place] for place in places.values()),
        images=images,
        extra=extra,
    )


def _image(image: AnnotatedImage) -> AnnotatedImage:
    if all(one.label.isascii() and one.label == one.label.strip() for one in image.boxes):
        return image
    boxes = (dataclasses.replace(one, label=normal_name(one.label)) for one in image.boxes)
    return dataclasses.replace(image, boxes=tuple(boxes))
