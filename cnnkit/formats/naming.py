"""Keeps equal names of images in different folders distinct."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from cnnkit.formats.annotations import AnnotatedImage


def from_one_folder(images: Sequence[AnnotatedImage]) -> tuple[AnnotatedImage, ...]:
    """Return annotations with files named relative to the common folder of all images.

    ``train/1.jpg`` and ``val/1.jpg`` are both ``1.jpg`` in their own folders. An image that was
    not found is named after its split.
    """
    folders = {os.path.dirname(os.path.abspath(p.path)) for p in images if p.path is not None}
    try:
        top = os.path.commonpath(folders) if folders else ""
    except ValueError:  # on different drives
        return tuple(images)
    return tuple(dataclasses.replace(p, file=_name(p, top)) for p in images)


def _name(image: AnnotatedImage, top: str) -> str:
    if image.path is not None:
        name = os.path.relpath(os.path.abspath(image.path), top)
        return name.replace(os.sep, "/")
    split = image.split
    if split is None or image.file.startswith(f"{split}/"):
        return image.file
    return f"{split}/{image.file}"
