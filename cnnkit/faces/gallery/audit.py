"""What looks wrong in a gallery: photos under another's name, outliers, people too alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.faces.gallery.records import Settings, StoredPhoto
from cnnkit.faces.gallery.search import BLOCK, quick_distances

MISLABELLED, OUTLIER, ALIKE, COPY = "mislabelled", "outlier", "too-alike", "copy"
# Two photos nearer than this part of the threshold are one picture, saved twice.
COPY_SHARE = 0.02


@dataclass(frozen=True)
class AuditFinding:
    """One thing to look at.

    Attributes:
        kind: ``mislabelled``, ``outlier``, ``too-alike`` or ``copy``.
        person: Whose entry.
        path: Of the photo where it is known, else its number.
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
        return {**vars(self), "distance": round(self.distance, 6)}


def audit(
    photos: Sequence[StoredPhoto],
    settings: Settings,
    progress: Callable[[int], None] | None = None,
) -> list[AuditFinding]:
    """Compare every photo with all others.

    - mislabelled: nearer to another person than to all others of its own, and near enough.
    - outlier: farther from all others of its own person than the threshold.
    - too-alike: two people with photos nearer than the threshold, which identification cannot
      tell apart surely.
    - copy: two entries of one person that are one picture.

    Args:
        photos: Of `Gallery.photos`.
        settings: Of the gallery.
        progress: Called with how many photos were compared.
    """
    if not photos:
        return []
    vectors = np.stack([photo.vector for photo in photos])
    names = sorted({photo.person for photo in photos})
    place = {name: number for number, name in enumerate(names)}
    people = np.array([place[photo.person] for photo in photos])
    findings: list[AuditFinding] = []
    alike: dict[tuple[int, int], float] = {}
    step = max(1, BLOCK // (4 * len(photos)))
    for start in range(0, len(photos), step):
        rows = range(start, min(start + step, len(photos)))
        block = quick_distances(vectors[start : start + step], vectors, settings.embedder.metric)
        for number, apart in zip(rows, block, strict=True):
            apart[number] = np.inf
            findings += _of_photo(photos, people, number, apart, settings)
            _note_alike(alike, people, number, apart, settings.threshold)
        if progress is not None:
            progress(len(rows))
    findings += [_alike(names[a], names[b], d) for (a, b), d in sorted(alike.items())]
    order = (MISLABELLED, OUTLIER, ALIKE, COPY)
    return sorted(findings, key=lambda f: (order.index(f.kind), f.person, f.path, f.other))


def _of_photo(
    photos: Sequence[StoredPhoto],
    people: np.ndarray,
    number: int,
    apart: np.ndarray,
    settings: Settings,
) -> list[AuditFinding]:
    """Return what is wrong with one photo; `apart` has infinity at its own place."""
    photo = photos[number]
    own = np.where(people == people[number], apart, np.inf)
    others = np.where(people == people[number], np.inf, apart)
    nearest_own, nearest_other = int(np.argmin(own)), int(np.argmin(others))
    to_own, to_other = float(own[nearest_own]), float(others[nearest_other])
    path = _shown(photo)
    if to_other <= settings.threshold and to_other < to_own:
        other = photos[nearest_other]
        message = (
            f"{path} is nearer to {other.person} ({_shown(other)}, {to_other:.3f}) than to any "
            f"other photo of {photo.person}{_away(to_own)}"
        )
        return [AuditFinding(MISLABELLED, photo.person, path, to_other, other.person, message)]
    if np.isfinite(to_own) and to_own > settings.threshold:
        message = f"{path} is like no other photo of {photo.person}{_away(to_own)}"
        return [AuditFinding(OUTLIER, photo.person, path, to_own, "", message)]
    if to_own <= COPY_SHARE * settings.threshold and number < nearest_own:
        message = f"{path} and {_shown(photos[nearest_own])} are one picture of {photo.person}"
        return [AuditFinding(COPY, photo.person, path, to_own, "", message)]
    return []


def _note_alike(
    alike: dict[tuple[int, int], float],
    people: np.ndarray,
    number: int,
    apart: np.ndarray,
    threshold: float,
) -> None:
    """Remember the least distance of each two people who are near one another."""
    own = people[number]
    for other in np.flatnonzero((apart <= threshold) & (people > own)):
        pair = (int(own), int(people[other]))
        alike[pair] = min(float(apart[other]), alike.get(pair, np.inf))


def _alike(first: str, second: str, distance: float) -> AuditFinding:
    message = f"{first} and {second} have photos that are only {distance:.3f} apart"
    return AuditFinding(ALIKE, first, "", distance, second, message)


def _shown(photo: StoredPhoto) -> str:
    return photo.path if photo.path is not None else f"photo {photo.number}"


def _away(distance: float) -> str:
    return f" ({distance:.3f})" if np.isfinite(distance) else ", which has none"
