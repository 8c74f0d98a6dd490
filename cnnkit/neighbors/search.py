"""The nearest of many vectors, exactly, in bounded memory."""

from __future__ import annotations

import numpy as np

from cnnkit.neighbors.metrics import COSINE, Metric, blocks_of

# Of the first block nearly everything is a candidate: it is small.
FIRST_ROWS = 2_048

Nearest = tuple[np.ndarray, np.ndarray]


def nearest(
    vectors: np.ndarray,
    queries: np.ndarray,
    count: int,
    metric: Metric,
    sizes: np.ndarray | None = None,
    *,
    min_score: float = -np.inf,
    groups: np.ndarray | None = None,
) -> list[Nearest]:
    """Return the vectors, or the groups of vectors, that are nearest to each query.

    The vectors are read once, block by block. A rough score tells which vectors may be among the
    nearest, and an exact one which of these are: the result does not depend on the size of a
    block, and equal scores come in the order of the vectors or groups.

    Args:
        vectors: float32 (n, dimensions); may be mapped from a file.
        queries: float (m, dimensions), finite.
        count: How many at most for each query, at least 1.
        metric: How near vectors are.
        sizes: From `metric.sizes`, if there are several searches.
        min_score: Only vectors with at least this score.
        groups: The group of each vector, int64 (n,), never falling; the score of a group is that
            of its nearest vector. By default each vector counts for itself.

    Returns:
        For each query int64 (k,), the rows or the groups, nearest first, and float64 (k,), their
        scores; k is at most `count`.
    """
    sizes = metric.sizes(vectors) if sizes is None else sizes
    prepared = metric.prepared(queries)
    rounding = metric.rounding(sizes, prepared)
    candidates = _Candidates(count, min_score - rounding, 2 * rounding, groups)
    with np.errstate(all="ignore"):  # of numbers that are not finite, and what BLAS reads beyond
        for start, block in blocks_of(vectors, FIRST_ROWS):
            rough = metric.rough(block, sizes[start : start + len(block)], prepared)
            candidates.add(start, rough)
    return [
        _exact(vectors, query, rows, count, metric, min_score, groups)
        for query, rows in zip(queries, candidates.rows, strict=True)
    ]


def most_similar(
    vectors: np.ndarray,
    queries: np.ndarray,
    count: int,
    lengths: np.ndarray | None = None,
    min_score: float = -1.0,
) -> list[Nearest]:
    """Return the vectors with the highest cosine similarity to each query; see `nearest`.

    Vectors that are zero or not finite are never among the best.

    Args:
        vectors: float32 (n, dimensions); may be mapped from a file.
        queries: float (m, dimensions), finite.
        count: How many at most for each query, at least 1.
        lengths: From `lengths_of`, if there are several searches.
        min_score: Only vectors with at least this similarity, -1 to 1.

    Returns:
        For each query int64 (k,), best first, and float64 (k,) in -1 to 1, k at most `count`.
    """
    return nearest(vectors, queries, count, COSINE, lengths, min_score=min_score)


class _Candidates:
    """The rows that may be among the nearest of each query.

    Attributes:
        rows: The candidates of each query, int64 (k,), rising.
    """

    def __init__(
        self, count: int, least: np.ndarray, slack: np.ndarray, groups: np.ndarray | None
    ) -> None:
        """Take nothing in yet.

        Args:
            count: How many are searched for.
            least: The rough score that a candidate of each query has at least, (queries,).
            slack: What two rough scores of each query may be wrong by together, (queries,).
            groups: See `nearest`.
        """
        self._count, self._slack, self._groups = count, slack, groups
        self._least = least.astype(np.float32)
        self.rows = [np.zeros(0, np.int64) for _ in least]
        self._scores = [np.zeros(0, np.float32) for _ in least]

    def add(self, start: int, rough: np.ndarray) -> None:
        """Take in the rough scores of a block of rows, float32 (queries, rows)."""
        new = rough >= self._least[:, None]  # never of NaN
        for query in np.flatnonzero(new.any(axis=1)).tolist():
            rows = np.flatnonzero(new[query])
            self._take(query, start + rows, rough[query, rows])

    def _take(self, query: int, rows: np.ndarray, scores: np.ndarray) -> None:
        rows = np.concatenate([self.rows[query], rows])
        scores = np.concatenate([self._scores[query], scores])
        best = scores if self._groups is None else _by_group(self._groups[rows], scores)[1]
        if len(best) > self._count:
            last = float(np.partition(best, -self._count)[-self._count])
            self._least[query] = max(float(self._least[query]), last - self._slack[query])
            near = scores >= self._least[query]
            rows, scores = rows[near], scores[near]
        self.rows[query], self._scores[query] = rows, scores


def _by_group(groups: np.ndarray, scores: np.ndarray) -> Nearest:
    """Return which groups there are, rising, and the best score of each.

    Args:
        groups: int64 (k,), never falling.
        scores: float (k,).
    """
    if not len(groups):
        return groups, scores
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    return groups[first], np.maximum.reduceat(scores, first)


def _exact(
    vectors: np.ndarray,
    query: np.ndarray,
    rows: np.ndarray,
    count: int,
    metric: Metric,
    min_score: float,
    groups: np.ndarray | None,
) -> Nearest:
    scores = metric.exact(vectors, rows, query)
    enough = scores >= min_score
    rows, scores = rows[enough], scores[enough]
    if groups is not None:
        rows, scores = _by_group(groups[rows], scores)
    best = np.argsort(-scores, kind="stable")[:count]
    return rows[best], scores[best]
