"""The most similar of many vectors, exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows compared at a time: with 1,280 numbers each, 80 MB.
ROWS_AT_ONCE = 16_384
# Of the first block nearly everything is a candidate: with many queries it is small.
FIRST_ROWS = 2_048
FEW_QUERIES = 3
PAIRS_AT_ONCE = 4_096
# What a cosine computed in float32 may be wrong by; everything so near to the best is computed
# again in float64.
ROUNDING = 1e-5


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Return the length of each vector, float32 (n,), NaN where a number is not finite.

    Args:
        vectors: float32 (n, dimensions); may be mapped from a file.
    """
    lengths = np.empty(len(vectors), np.float32)
    with np.errstate(all="ignore"):
        for start, block in _blocks(vectors):
            squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            lengths[start : start + len(block)] = np.sqrt(squares)
    lengths[~np.isfinite(lengths)] = np.nan
    return lengths


def most_similar(
    vectors: np.ndarray,
    queries: np.ndarray,
    count: int,
    lengths: np.ndarray | None = None,
    min_score: float = -1.0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the vectors with the highest cosine similarity to each query.

    The vectors are read once, block by block. A cosine is computed in float32 to tell which
    vectors may be among the best, and in float64 for these: the result does not depend on the
    size of a block, and equal vectors come in their order. Vectors that are zero or not finite
    are never among the best.

    Args:
        vectors: float32 (n, dimensions); may be mapped from a file.
        queries: float (m, dimensions), finite.
        count: How many at most for each query, at least 1.
        lengths: From `lengths_of`, if there are several searches.
        min_score: Only vectors with at least this similarity, -1 to 1.

    Returns:
        For each query int64 (k,), best first, and float64 (k,) in -1 to 1, k at most `count`.
    """
    lengths = lengths_of(vectors) if lengths is None else lengths
    queries = np.asarray(queries, np.float64)
    sizes = np.sqrt((queries**2).sum(axis=1, keepdims=True))
    unit = (queries / np.where(sizes > 0, sizes, 1)).astype(np.float32)
    candidates = _Candidates(len(queries), count, min_score)
    usable = np.where(lengths > 0, lengths, np.nan)
    with np.errstate(all="ignore"):
        for start, block in _blocks(vectors, FIRST_ROWS if len(unit) > FEW_QUERIES else None):
            rough = _product(block, unit)
            rough /= usable[start : start + len(block), None]
            candidates.add(start, rough)
    return [
        _exact(vectors, query, rows, count, min_score)
        for query, rows in zip(queries, candidates.rows, strict=True)
    ]


def _product(block: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the products of all rows with all queries, float32 (rows, queries).

    A product with one vector reads the block at the speed of the memory; one with a matrix first
    rearranges it, which takes as long as three of the others.
    """
    if len(unit) <= FEW_QUERIES:
        return np.stack([block @ one for one in unit], axis=1)
    return block @ unit.T


def _blocks(vectors: np.ndarray, first: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each block begins, and the block.

    Args:
        vectors: May be mapped from a file.
        first: Rows of the first block; as many as of the others by default.
    """
    start, size = 0, min(first or ROWS_AT_ONCE, ROWS_AT_ONCE)
    while start < len(vectors):
        yield start, np.asarray(vectors[start : start + size])
        start, size = start + size, ROWS_AT_ONCE


class _Candidates:
    """The rows that may be among the best of each query.

    Attributes:
        rows: The candidates of each query, int64 (k,), rising.
    """

    def __init__(self, queries: int, count: int, min_score: float) -> None:
        self._count = count
        # The rough score that a candidate of each query has at least.
        self._least = np.full(queries, min_score - ROUNDING, np.float32)
        self.rows = [np.zeros(0, np.int64) for _ in range(queries)]
        self._scores = [np.zeros(0, np.float32) for _ in range(queries)]

    def add(self, start: int, rough: np.ndarray) -> None:
        """Take in the rough scores of a block of rows, float32 (rows, queries)."""
        new = rough >= self._least  # never of NaN
        for query in np.flatnonzero(new.any(axis=0)).tolist():
            rows = np.flatnonzero(new[:, query])
            self._take(query, start + rows, rough[rows, query])

    def _take(self, query: int, rows: np.ndarray, scores: np.ndarray) -> None:
        rows = np.concatenate([self.rows[query], rows])
        scores = np.concatenate([self._scores[query], scores])
        if len(scores) > self._count:
            last = float(np.partition(scores, -self._count)[-self._count])
            self._least[query] = max(float(self._least[query]), last - 2 * ROUNDING)
            near = scores >= self._least[query]
            rows, scores = rows[near], scores[near]
        self.rows[query], self._scores[query] = rows, scores


def _exact(
    vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, count: int, min_score: float
) -> tuple[np.ndarray, np.ndarray]:
    scores = cosines(vectors, rows, query)
    enough = scores >= min_score
    rows, scores = rows[enough], scores[enough]
    best = np.argsort(-scores, kind="stable")[:count]
    return rows[best], scores[best]


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


def similar_pairs(
    vectors: np.ndarray, rows: np.ndarray, columns: np.ndarray, min_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of rows and columns whose cosine similarity is at least `min_score`.

    As in `most_similar`, float32 tells which pairs may be meant, and float64 which are. Vectors
    that are not finite are similar to none.

    Args:
        vectors: float32 (n, dimensions), of length 1; may be mapped from a file.
        rows: int (k,), of some vectors; all of these are held in memory.
        columns: int (m,), taken block by block.
        min_score: -1 to 1.

    Returns:
        Two arrays int64 (pairs,), in the order of the rows and, of a row, of the columns.
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    some = np.asarray(vectors[rows])
    for start in range(0, len(columns), ROWS_AT_ONCE):
        block = columns[start : start + ROWS_AT_ONCE]
        with np.errstate(all="ignore"):
            rough = some @ np.asarray(vectors[block]).T
        at_row, at_column = np.nonzero(rough >= min_score - ROUNDING)  # never of NaN
        near = pair_cosines(vectors, rows[at_row], block[at_column]) >= min_score
        found.append((at_row[near], block[at_column[near]]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at_row, column = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(at_row, kind="stable")  # the columns of a row rise from block to block
    return rows[at_row[order]], column[order]


def pair_cosines(vectors: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of pairs of vectors, float64 (pairs,).

    Args:
        vectors: float32 (n, dimensions).
        one: The first of each pair, int (pairs,); none of these vectors is zero.
        other: The second of each.
    """
    result = np.zeros(len(one))
    for start in range(0, len(one), PAIRS_AT_ONCE):
        piece = slice(start, start + PAIRS_AT_ONCE)
        first = np.asarray(vectors[one[piece]], np.float64)
        second = np.asarray(vectors[other[piece]], np.float64)
        squares = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
        result[piece] = np.einsum("ij,ij->i", first, second) / np.sqrt(squares)
    return np.clip(result, -1.0, 1.0)


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
