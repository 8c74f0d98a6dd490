"""Vectors in groups, such as the examples of classes, and how similar others are to a group."""

from __future__ import annotations

import numpy as np


class GroupedVectors:
    """Vectors in groups, such as examples of classes, and how similar others are to each group.

    The similarity with a group is the mean of the cosines with its most similar members: at most
    `count` of them and always fewer than it has, unless it has one only. So a member that is left
    out is compared with as many others as any other vector is.

    Attributes:
        sizes: Number of members of each group, int64 (groups,).
    """

    def __init__(self, vectors: np.ndarray, groups: np.ndarray, count: int) -> None:
        """Take the vectors in.

        Args:
            vectors: float (n, dimensions), finite, none of them zero.
            groups: The group of each, int (n,), from 0; each group has a member.
            count: Most similar members that count, at least 1.
        """
        order = np.argsort(groups, kind="stable")
        wide = np.asarray(vectors, np.float64)[order]
        self._order = order
        self._unit = wide / np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
        self.sizes = np.bincount(groups)
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._counts = np.minimum(count, np.maximum(self.sizes - 1, 1))

    def similarities(self, query: np.ndarray) -> np.ndarray:
        """Return how similar a vector is to each group, float64 (groups,), -1 to 1.

        Args:
            query: float (dimensions,), finite; a zero vector has the similarity 0 with all.
        """
        query = np.asarray(query, np.float64)
        size = np.sqrt(np.einsum("i,i", query, query))
        if size == 0:
            return np.zeros(len(self.sizes))
        scores = np.einsum("ij,j->i", self._unit, query / size)
        of_group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        scores = scores[np.lexsort((-scores, of_group))]
        place = np.arange(len(scores)) - self._starts[of_group]  # in its group, the best first
        counted = place < self._counts[of_group]
        sums = np.bincount(of_group[counted], scores[counted], len(self.sizes))
        return np.clip(sums / self._counts, -1.0, 1.0)

    def left_out(self) -> np.ndarray:
        """Return how similar each vector is to the others of its group, NaN where it is alone.

        Returns:
            float64 (n,), -1 to 1, in the order of the vectors.
        """
        result = np.full(len(self._unit), np.nan)
        for start, size, count in zip(self._starts, self.sizes, self._counts, strict=True):
            if size < 2:
                continue
            members = self._unit[start : start + size]
            for first in range(0, size, 256):
                with np.errstate(all="ignore"):  # of what BLAS reads beyond the ends
                    scores = members[first : first + 256] @ members.T  # (rows, size)
                rows = np.arange(len(scores))
                scores[rows, first + rows] = -np.inf
                best = np.partition(scores, size - count, axis=1)[:, size - count :]
                result[start + first + rows] = np.clip(best.mean(axis=1), -1.0, 1.0)
        unordered = np.empty_like(result)
        unordered[self._order] = result
        return unordered
