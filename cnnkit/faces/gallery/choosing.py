"""Which photo of a gallery is meant: by its place, its number, or the file itself."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.faces.gallery.records import StoredPhoto, person_name
from cnnkit.faces.gallery.store import GalleryFile, content_digest
from cnnkit.images import read_bytes

_NUMBER = re.compile(r"(?:photo )?([0-9]{1,18})", re.ASCII)


def chosen_photos(
    gallery: GalleryFile, wanted: Sequence[str], people: Sequence[str] = ()
) -> list[StoredPhoto]:
    """Return the photos that a user names, each once.

    Args:
        gallery: Open.
        wanted: Each a photo's place as the gallery has it, its number, or a file with the same
            content.
        people: Only theirs; empty: everybody's.

    Raises:
        UsageError: One is not in the gallery, or several have this place.
    """
    names = {person_name(name) for name in people}
    photos = [photo for photo in gallery.photos() if not names or photo.person in names]
    found = {photo.number: photo for one in wanted for photo in [_chosen(gallery, photos, one)]}
    return list(found.values())


def _chosen(gallery: GalleryFile, photos: Sequence[StoredPhoto], wanted: str) -> StoredPhoto:
    found = [photo for photo in photos if photo.path is not None and photo.path == wanted]
    if not found and (match := _NUMBER.fullmatch(wanted)):
        found = [photo for photo in photos if photo.number == int(match[1])]
    if not found and os.path.isfile(wanted):
        number = gallery.number_of(_digest(wanted))
        found = [photo for photo in photos if photo.number == number]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{photo.number} ({photo.person})" for photo in found[:5])
        fix = "Give its number, or the person's name besides."
        rule = "name one photo"
        raise UsageError(broken_rule("`photos`", rule, f"{wanted!r}: photos {several}", fix))
    fix = "The gallery lists its photos with their numbers."
    raise UsageError(broken_rule("`photos`", f"name a photo in {gallery.path}", repr(wanted), fix))


def _digest(path: str) -> bytes:
    try:
        return content_digest(read_bytes(path))
    except ImageError as error:
        raise UsageError(f"{path} cannot be read: {error.message}.") from error
