"""Names of images that come from several folders, so that equal ones stay apart."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from cnnkit.formats.annotations import AnnotatedPicture


def from_one_folder(pictures: Sequence[AnnotatedPicture]) -> tuple[AnnotatedPicture, ...]:
    """Return notes whose files are named from the deepest folder that holds all the images.

    ``train/1.jpg`` and ``val/1.jpg`` are both ``1.jpg`` in their own folders. An image that was
    not found is named after its split.
    """
    folders = {os.path.dirname(os.path.abspath(p.path)) for p in pictures if p.path is not None}
    try:
        top = os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return tuple(pictures)
    return tuple(dataclasses.replace(p, file=_name(p, top)) for p in pictures)


def _name(picture: AnnotatedPicture, top: str) -> str:
    if picture.path is not None:
        name = os.path.relpath(os.path.abspath(picture.path), top)
        return name.replace(os.sep, "/")
    split = picture.split
    if split is None or picture.file.startswith(f"{split}/"):
        return picture.file
    return f"{split}/{picture.file}"
