"""Face identification: the nearest person, or ``unknown`` with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.faces.gallery.records import GallerySettings
from cnnkit.faces.gallery.search import FaceIndex, NearestPerson
from cnnkit.results import UNKNOWN, Face

TOO_FAR, TOO_CLOSE, NOBODY = "too far", "two people too close", "nobody is enrolled"


@dataclass(frozen=True)
class Identification:
    """The identification of one face.

    Attributes:
        name: Name of the person, or ``unknown``.
        nearest: The nearest people, at most two, nearest first.
        probability: Probability that the face is that of the nearest person, 0 to 1, or None.
        reason: Why the name is ``unknown``: `TOO_FAR`, `TOO_CLOSE` or `NOBODY`; otherwise None.
    """

    name: str
    nearest: tuple[NearestPerson, ...]
    probability: float | None = None
    reason: str | None = None

    @property
    def distance(self) -> float | None:
        """Distance to the nearest person, even if the name is ``unknown``."""
        return self.nearest[0].distance if self.nearest else None

    def to_dict(self) -> dict[str, Any]:
        """Return the identification as it appears in an output row."""
        row: dict[str, Any] = {"name": self.name}
        if self.nearest:
            row["distance"] = round(self.nearest[0].distance, 6)
            row["nearest"] = [
                {"name": match.person, "distance": round(match.distance, 6)}
                for match in self.nearest
            ]
        if self.probability is not None:
            row["probability"] = round(self.probability, 6)
        if self.reason is not None:
            row["reason"] = self.reason
        return row


@dataclass(frozen=True)
class IdentifiedImage:
    """Who is in an image.

    Attributes:
        faces: The largest first, each with whose it is.
    """

    faces: tuple[tuple[Face, Identification], ...]

    @property
    def names(self) -> list[str]:
        """The names in the order of the faces, ``unknown`` among them."""
        return [found.name for _, found in self.faces]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in a row."""
        faces = [face.to_dict() | found.to_dict() for face, found in self.faces]
        return {"names": self.names, "faces": faces}


def decide(index: FaceIndex, vector: np.ndarray, settings: GallerySettings) -> Identification:
    """Name a face.

    Args:
        index: Search index of the gallery.
        vector: The face's, float (dimensions,).
        settings: The threshold (a distance equal to it is near enough) and the margin.
    """
    nearest = tuple(index.nearest(vector, 2))
    if not nearest:
        return Identification(UNKNOWN, (), reason=NOBODY)
    best = nearest[0]
    probability = settings.probability(best.distance)
    reason = None
    if best.distance > settings.threshold:
        reason = TOO_FAR
    elif len(nearest) > 1 and nearest[1].distance - best.distance < settings.margin:
        reason = TOO_CLOSE
    return Identification(UNKNOWN if reason else best.person, nearest, probability, reason)
