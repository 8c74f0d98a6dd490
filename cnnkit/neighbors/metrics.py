"""How near two vectors are: by their angle, or by a distance.

Each metric has a rough score, in float32 and at the speed of the memory, which tells which of many
vectors may be among the nearest, and an exact one, in float64, which tells which are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

# Rows compared at a time: with 1,280 numbers each, 80 MB.
ROWS_AT_ONCE = 16_384
# What a rough score may be wrong by: for cosines as it is, for squared distances relative to the
# squared lengths of the vectors.
ROUNDING = 1e-5
# Numbers that one block of differences may have: 64 MiB of float32.
BLOCK = 1 << 24
# A product with one vector reads the others at the speed of the memory; one with a matrix first
# rearranges them, which takes as long as three of the former.
FEW_QUERIES = 3
# Products with shorter vectors are over before the threads of BLAS have met, on a busy machine
# long before.
SHORT = 512


class Metric(Protocol):
    """How near vectors are to a query: the higher the score, the nearer."""

    def sizes(self, vectors: np.ndarray) -> np.ndarray:
        """Return what searches need of each vector besides its numbers, float32 (n,).

        NaN marks a vector that is never found.
        """

    def prepared(self, queries: np.ndarray) -> np.ndarray:
        """Return queries as `rough` takes them, float32 (m, dimensions)."""

    def rounding(self, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """Return by how much the rough scores of each query may be wrong, float64 (m,)."""

    def rough(self, block: np.ndarray, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """Return the rough scores of some vectors, float32 (m, rows)."""

    def exact(self, vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Return the scores of the vectors in some rows, float64 (k,)."""


class CosineMetric:
    """The score is the cosine similarity, -1 to 1; a size is a length."""

    def sizes(self, vectors: np.ndarray) -> np.ndarray:
        """See `lengths_of`."""
        return lengths_of(vectors)

    def prepared(self, queries: np.ndarray) -> np.ndarray:
        """Return queries of length 1, or 0."""
        queries = np.asarray(queries, np.float64)
        lengths = np.sqrt((queries**2).sum(axis=1, keepdims=True))
        return (queries / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    def rounding(self, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """See `Metric.rounding`."""
        return np.full(len(prepared), ROUNDING)

    def rough(self, block: np.ndarray, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """See `Metric.rough`."""
        scores = _products(block, prepared)
        scores /= np.where(sizes > 0, sizes, np.nan)
        return scores

    def exact(self, vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """See `cosines`."""
        return cosines(vectors, rows, query)


class EuclideanMetric:
    """The score is the distance, negative; a size is a squared length."""

    def sizes(self, vectors: np.ndarray) -> np.ndarray:
        """Return squared lengths."""
        return np.einsum("ij,ij->i", vectors, vectors)

    def prepared(self, queries: np.ndarray) -> np.ndarray:
        """Return the queries."""
        return np.asarray(queries, np.float32)

    def rounding(self, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """See `Metric.rounding`."""
        return ROUNDING * (float(np.nanmax(sizes, initial=0)) + squared_lengths(prepared))

    def rough(self, block: np.ndarray, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """Return the squared distances, negative, without the squared length of the query."""
        scores = _products(block, prepared)
        scores *= 2
        scores -= sizes
        return scores

    def exact(self, vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """See `Metric.exact`."""
        return -_distances_of(vectors, rows, query, "euclidean")


class ManhattanMetric:
    """The score is the sum of absolute differences, negative; a size is a squared length."""

    def sizes(self, vectors: np.ndarray) -> np.ndarray:
        """Return squared lengths."""
        return np.einsum("ij,ij->i", vectors, vectors)

    def prepared(self, queries: np.ndarray) -> np.ndarray:
        """Return the queries."""
        return np.asarray(queries, np.float32)

    def rounding(self, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """See `Metric.rounding`; a sum of differences is at most sqrt(dimensions) lengths."""
        squares = float(np.nanmax(sizes, initial=0)) + squared_lengths(prepared)
        return ROUNDING * np.sqrt(squares * prepared.shape[1])

    def rough(self, block: np.ndarray, sizes: np.ndarray, prepared: np.ndarray) -> np.ndarray:
        """See `Metric.rough`."""
        return np.stack([-np.abs(block - one).sum(axis=1) for one in prepared])

    def exact(self, vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """See `Metric.exact`."""
        return -_distances_of(vectors, rows, query, "manhattan")


COSINE = CosineMetric()
DISTANCES: dict[str, Metric] = {"euclidean": EuclideanMetric(), "manhattan": ManhattanMetric()}


def blocks_of(vectors: np.ndarray, first: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each block begins, and the block.

    Args:
        vectors: May be mapped from a file.
        first: Rows of the first block; as many as of the others by default.
    """
    start, size = 0, min(first or ROWS_AT_ONCE, ROWS_AT_ONCE)
    while start < len(vectors):
        yield start, np.asarray(vectors[start : start + size])
        start, size = start + size, ROWS_AT_ONCE


def _products(block: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the products of all queries with all rows, float32 (queries, rows)."""
    if len(queries) > FEW_QUERIES:
        return queries @ block.T
    if block.shape[1] < SHORT:
        return np.stack([np.einsum("ij,j->i", block, one) for one in queries])
    return np.stack([block @ one for one in queries])


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Return the length of each vector, float32 (n,), NaN where a number is not finite.

    Args:
        vectors: float32 (n, dimensions); may be mapped from a file.
    """
    lengths = np.empty(len(vectors), np.float32)
    with np.errstate(all="ignore"):
        for start, block in blocks_of(vectors):
            squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            lengths[start : start + len(block)] = np.sqrt(squares)
    lengths[~np.isfinite(lengths)] = np.nan
    return lengths


def cosines(vectors: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of some rows with a vector, float64 (rows,).

    Equal vectors have the similarity 1 exactly.

    Args:
        vectors: float32 (n, dimensions).
        rows: int (k,); none of these vectors is zero.
        query: float (dimensions,).
    """
    query = np.asarray(query, np.float64)
    size = np.einsum("i,i", query, query)
    result = np.zeros(len(rows))
    if size == 0:
        return result
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = np.asarray(vectors[rows[start : start + ROWS_AT_ONCE]], np.float64)
        products = np.einsum("ij,j->i", some, query)
        squares = np.einsum("ij,ij->i", some, some)
        result[start : start + len(some)] = products / np.sqrt(squares * size)
    return np.clip(result, -1.0, 1.0)


def _distances_of(
    vectors: np.ndarray, rows: np.ndarray, query: np.ndarray, metric: str
) -> np.ndarray:
    """Return the distances of some rows from a vector, float64 (rows,)."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = vectors[rows[start : start + ROWS_AT_ONCE]]
        result[start : start + len(some)] = distances(some, query[None], metric)[:, 0]
    return result


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
