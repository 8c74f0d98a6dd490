"""Exact search: whose face is it, and how far away is the next person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.neighbors import DISTANCES, distances, nearest


@dataclass(frozen=True)
class NearestPerson:
    """A person, and how far away.

    Attributes:
        person: The name.
        distance: Distance to the person's nearest photo, in the embedder's metric.
    """

    person: str
    distance: float


class FaceIndex:
    """The vectors of a gallery in memory, person by person.

    Attributes:
        people: Names, in code-point order.
        vectors: float32 (photos, dimensions), those of one person together.
        starts: int (people + 1,): where each person's vectors begin, and the end.
    """

    def __init__(self, vectors: np.ndarray, owners: Sequence[str], metric: str) -> None:
        """Sort the vectors.

        Args:
            vectors: float32 (photos, dimensions).
            owners: The name of each photo's person.
            metric: ``euclidean`` or ``manhattan``.
        """
        self.people = sorted(set(owners))
        self.metric = metric
        place = {name: number for number, name in enumerate(self.people)}
        numbers = np.array([place[name] for name in owners], np.int64)
        order = np.argsort(numbers, kind="stable")
        self.vectors = np.ascontiguousarray(vectors[order], np.float32)
        counts = np.bincount(numbers, minlength=len(self.people))
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._numbers = numbers[order]  # (photos,): each one's person
        self._sizes = DISTANCES[metric].sizes(self.vectors)  # (photos,)

    def __len__(self) -> int:
        return len(self.people)

    def nearest(self, vector: np.ndarray, count: int = 2) -> list[NearestPerson]:
        """Return the nearest people, nearest first; among equals in the order of names.

        Args:
            vector: float (dimensions,).
            count: How many at most, at least 1.

        Raises:
            UsageError: The vector has other numbers than the gallery's.
        """
        if not self.people:
            return []
        vector = checked_vector(vector, self.vectors.shape[1])
        found = nearest(
            self.vectors,
            vector[None],
            count,
            DISTANCES[self.metric],
            self._sizes,
            groups=self._numbers,
        )
        return [
            NearestPerson(self.people[number], -float(score))
            for number, score in zip(*found[0], strict=True)
        ]

    def distance(self, person: str, vector: np.ndarray) -> float | None:
        """Return how far a vector is from a person's nearest photo; None: nobody of that name."""
        if person not in self.people:
            return None
        vector = checked_vector(vector, self.vectors.shape[1])
        return self.distance_to(self.people.index(person), vector)

    def distance_to(self, number: int, vector: np.ndarray) -> float:
        """Return the exact distance to the nearest photo of a person, given by number."""
        own = self.vectors[self.starts[number] : self.starts[number + 1]]
        return float(distances(own, vector[None], self.metric).min())

    def of(self, person: str) -> np.ndarray:
        """Return a person's vectors, float32 (photos, dimensions); none for an unknown name."""
        for name, (start, end) in zip(self.people, pairwise(self.starts), strict=True):
            if name == person:
                return self.vectors[start:end]
        return self.vectors[:0]


def checked_vector(vector: Any, dimensions: int) -> np.ndarray:
    """Return a face's vector as float32 (dimensions,), in memory of its own or the caller's.

    Raises:
        UsageError: It is not so many finite numbers.
    """
    try:
        numbers = np.ascontiguousarray(vector, dtype="<f4")
    except (TypeError, ValueError):
        numbers = np.zeros(0, "<f4")
    if numbers.shape != (dimensions,) or not np.isfinite(numbers).all():
        received = f"{type(vector).__name__} of the shape {np.shape(vector)}"
        fix = "An embedding of the gallery's own embedder has them."
        rule = f"be {dimensions} finite numbers"
        raise UsageError(broken_rule("a face's vector", rule, received, fix))
    return numbers
