"""What looks wrong in a gallery: photos under another's name, outliers, people too alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.faces.gallery.records import GallerySettings, StoredPhoto
from cnnkit.neighbors import BLOCK, quick_distances, squared_lengths
from cnnkit.results import path_fields

MISLABELED, OUTLIER, ALIKE, COPY = "mislabelled", "outlier", "too-alike", "copy"
# Two photos nearer than this part of the threshold are one image, saved twice.
COPY_SHARE = 0.02


@dataclass(frozen=True)
class AuditFinding:
    """One thing to look at.

    Attributes:
        kind: ``mislabelled``, ``outlier``, ``too-alike`` or ``copy``.
        person: Whose entry.
        path: Path of the photo if known, else its number.
        distance: To what it should be near, or should not.
        other: The other person, or "".
        message: What is wrong, for people.
    """

    kind: str
    person: str
    path: str
    distance: float
    other: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the finding ready for JSON."""
        place = path_fields(self.path)
        return {**vars(self), **place, "distance": round(self.distance, 6)}


def audit(
    photos: Sequence[StoredPhoto],
    settings: GallerySettings,
    progress: Callable[[int], None] | None = None,
) -> list[AuditFinding]:
    """Compare every photo with all others.

    - mislabelled: nearer to another person than to all others of its own, and near enough.
    - outlier: farther from all others of its own person than the threshold.
    - too-alike: two people with photos nearer than the threshold, which identification cannot
      distinguish surely.
    - copy: two entries of one person that are one image.

    Args:
        photos: Photos returned by `Gallery.photos`.
        settings: Settings of the gallery.
        progress: Called with how many photos were compared.
    """
    if not photos:
        return []
    photos = sorted(photos, key=lambda photo: photo.person)  # stable: a person's stay in order
    vectors = np.stack([photo.vector for photo in photos]).astype(np.float64)
    squares = squared_lengths(vectors)
    names = sorted({photo.person for photo in photos})
    place = {name: number for number, name in enumerate(names)}
    people = np.array([place[photo.person] for photo in photos])
    starts = np.searchsorted(people, np.arange(len(names) + 1))
    findings: list[AuditFinding] = []
    alike: dict[tuple[int, int], float] = {}
    step = max(1, BLOCK // (4 * len(photos)))
    for start in range(0, len(photos), step):
        rows = range(start, min(start + step, len(photos)))
        block = quick_distances(
            vectors[start : start + step], vectors, settings.embedder.metric, squares
        )
        for number, apart in zip(rows, block, strict=True):
            own = slice(*starts[people[number] : people[number] + 2])
            findings += _of_photo(photos, number, own, apart, settings)
            _note_alike(alike, people, own, apart, settings.threshold)
        if progress is not None:
            progress(len(rows))
    findings += [_alike(names[a], names[b], d) for (a, b), d in sorted(alike.items())]
    order = (MISLABELED, OUTLIER, ALIKE, COPY)
    return sorted(findings, key=lambda f: (order.index(f.kind), f.person, f.path, f.other))


def _of_photo(
    photos: Sequence[StoredPhoto],
    number: int,
    own: slice,
    apart: np.ndarray,
    settings: GallerySettings,
) -> list[AuditFinding]:
    """Return what is wrong with one photo.

    Args:
        photos: Those of one person together.
        number: The photo's place among them.
        own: Where the photos of its person are.
        apart: How far it is from each, float64 (photos,); the places of `own` are infinite
            afterwards.
        settings: Settings of the gallery.
    """
    photo = photos[number]
    apart[number] = np.inf
    nearest_own = own.start + int(np.argmin(apart[own]))
    to_own = float(apart[nearest_own])
    apart[own] = np.inf
    nearest_other = int(np.argmin(apart))
    to_other = float(apart[nearest_other])
    path = _shown(photo)
    if to_other <= settings.threshold and to_other < to_own:
        other = photos[nearest_other]
        message = (
            f"{path} is nearer to {other.person} ({_shown(other)}, {to_other:.3f}) than to any "
            f"other photo of {photo.person}{_away(to_own)}"
        )
        return [AuditFinding(MISLABELED, photo.person, path, to_other, other.person, message)]
    if np.isfinite(to_own) and to_own > settings.threshold:
        message = f"{path} is like no other photo of {photo.person}{_away(to_own)}"
        return [AuditFinding(OUTLIER, photo.person, path, to_own, "", message)]
    if to_own <= COPY_SHARE * settings.threshold and number < nearest_own:
        message = f"{path} and {_shown(photos[nearest_own])} are one image of {photo.person}"
        return [AuditFinding(COPY, photo.person, path, to_own, "", message)]
    return []


def _note_alike(
    alike: dict[tuple[int, int], float],
    people: np.ndarray,
    own: slice,
    apart: np.ndarray,
    threshold: float,
) -> None:
    """Remember the least distance of a person to each other, later one who is near."""
    later = apart[own.stop :]
    for other in own.stop + np.flatnonzero(later <= threshold):
        pair = (int(people[own.start]), int(people[other]))
        alike[pair] = min(float(apart[other]), alike.get(pair, np.inf))


def _alike(first: str, second: str, distance: float) -> AuditFinding:
    message = f"{first} and {second} have photos that are only {distance:.3f} apart"
    return AuditFinding(ALIKE, first, "", distance, second, message)


def _shown(photo: StoredPhoto) -> str:
    return photo.path if photo.path is not None else f"photo {photo.number}"


def _away(distance: float) -> str:
    return f" ({distance:.3f})" if np.isfinite(distance) else ", which has none"
