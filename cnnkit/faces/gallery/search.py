"""Exact search: whose face is it, and how far away is the next person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule

# What the fast squared distances may be wrong by, relative to the vectors' squared lengths:
# everything so near to the best is measured again in float64.
ROUNDING = 1e-5
# Numbers that one block of differences may have: 64 MiB of float32.
BLOCK = 1 << 24


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
        self._squares = np.einsum("ij,ij->i", self.vectors, self.vectors)  # (photos,)

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
        rough = np.minimum.reduceat(self._rough(vector), self.starts[:-1])  # (people,)
        count = min(count, len(self.people))
        last = np.partition(rough, count - 1)[count - 1]
        candidates = np.flatnonzero(rough <= last + self._tolerance(vector))
        exact = np.array([self.distance_to(int(n), vector) for n in candidates])
        best = np.argsort(exact, kind="stable")[:count]
        return [NearestPerson(self.people[candidates[i]], float(exact[i])) for i in best]

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

    def _rough(self, vector: np.ndarray) -> np.ndarray:
        """Return what grows with each photo's distance, float32 (photos,), rounded."""
        vector = np.asarray(vector, np.float32)
        if self.metric == "manhattan":
            return _manhattan(self.vectors, vector)
        # Not by BLAS: for few rows its kernels may work on what lies beyond the ends, and NumPy
        # warns of the floating-point flags that such numbers raise. It waits for memory anyway.
        products = np.einsum("ij,j->i", self.vectors, vector)  # (photos,)
        return self._squares - 2 * products + np.einsum("i,i", vector, vector)

    def _tolerance(self, vector: np.ndarray) -> float:
        size = float(self._squares.max()) + float(np.einsum("i,i", vector, vector))
        if self.metric == "manhattan":
            size = (size * self.vectors.shape[1]) ** 0.5
        return ROUNDING * size


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


def _manhattan(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return sums of absolute differences, float32 (n,), a block at a time."""
    step = max(1, BLOCK // max(1, vectors.shape[1]))
    blocks = range(0, len(vectors), step)
    return np.concatenate([np.abs(vectors[i : i + step] - vector).sum(axis=1) for i in blocks])


def distances(first: np.ndarray, second: np.ndarray, metric: str) -> np.ndarray:
    """Return the distance between every two vectors, computed from their differences.

    Args:
        first: float (n, dimensions).
        second: float (m, dimensions).
        metric: ``euclidean`` or ``manhattan``.

    Returns:
        float64 (n, m). Two equal vectors have the distance 0 exactly.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    result = np.empty((len(first), len(second)))
    step = max(1, BLOCK // max(1, 2 * first.shape[1] * max(1, len(second))))
    for start in range(0, len(first), step):
        difference = first[start : start + step, None] - second[None]  # (step, m, dimensions)
        if metric == "manhattan":
            result[start : start + step] = np.abs(difference).sum(axis=2)
        else:
            result[start : start + step] = np.sqrt((difference**2).sum(axis=2))
    return result


def quick_distances(
    first: np.ndarray, second: np.ndarray, metric: str, squares: np.ndarray | None = None
) -> np.ndarray:
    """Return the distance between every two vectors, by scalar products where that is possible.

    In float64 the products' rounding moves a distance by less than 1e-6 of the vectors' length;
    equal vectors may come out that far apart.

    Args:
        first: float (n, dimensions).
        second: float (m, dimensions).
        metric: ``euclidean`` or ``manhattan``.
        squares: Squared lengths of `second`, see `squared_lengths`, if it is compared with many.

    Returns:
        float64 (n, m).
    """
    if metric != "euclidean":
        return distances(first, second, metric)
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if squares is None:
        squares = squared_lengths(second)
    apart = first @ second.T  # (n, m), and worked on in its place: it may be large
    apart *= -2
    apart += squared_lengths(first)[:, None]
    apart += squares
    return np.sqrt(np.maximum(apart, 0.0, out=apart), out=apart)


def squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the squared length of each vector, float64 (n,)."""
    vectors = np.asarray(vectors, np.float64)
    return np.einsum("ij,ij->i", vectors, vectors)
