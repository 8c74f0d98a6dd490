"""The pairs of vectors that are similar enough, in bounded memory."""

from __future__ import annotations

import numpy as np

from cnnkit.neighbors.metrics import ROUNDING

ROWS_AT_ONCE = 16_384
PAIRS_AT_ONCE = 4_096


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
