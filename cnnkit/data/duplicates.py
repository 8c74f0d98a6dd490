"""Finds copies: the same file, and the same picture rescaled, recompressed, edited or mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnkit.data.fingerprints import THUMBNAIL_SIDE, Fingerprints

# Rescaled, recompressed and brightened photos differ in 0 to 6 bits of 64 and correlate to
# 0.95 and more (8 edits of 217 photos). Of 180,000 pairs of different photos none came under
# 12 bits; of 50 million pairs of crops none of two different photos passed both tests.
MAX_BITS = 6
MIN_CORRELATION = 0.95
# Of a smaller picture the hash holds nearly all there is: two drawings of the same digit
# would be taken for copies. Those are compared by content only.
MIN_SIDE = 64
# Blank pictures have nothing to compare: see `cnnkit.data.doctor`.
BLANK_DEVIATION = 1.5

ROWS_AT_ONCE = 256
PAIRS_AT_ONCE = 8192


@dataclass(frozen=True)
class Copies:
    """Which pictures are copies of which; a picture without copies is a group of its own.

    Attributes:
        exact: int64 (pictures,): the same number for files with the same content.
        near: int64 (pictures,): the same number also for pictures that nearly look the same,
            or mirrored; chains count as one group. Give it to a split as its groups.
    """

    exact: np.ndarray
    near: np.ndarray


def find_copies(fingerprints: Fingerprints) -> Copies:
    """Compare all pictures with all others.

    Every pair within `MAX_BITS` of each other is found: whole rows of 64-bit hashes are
    compared at a time, 10,000 pictures in about a second, in bounded memory.

    Args:
        fingerprints: Of the set.
    """
    exact = _exact_groups(fingerprints)
    first = np.unique(exact, return_index=True)[1]
    large = fingerprints.sizes[first].min(1) >= MIN_SIDE
    varied = fingerprints.deviations[first] >= BLANK_DEVIATION
    compared = first[fingerprints.readable[first] & large & varied]
    parts = _near_components(fingerprints, compared)
    representative = np.arange(len(exact))
    representative[compared] = compared[parts]
    return Copies(exact, representative[exact])


def _exact_groups(fingerprints: Fingerprints) -> np.ndarray:
    """Return for each picture the first one with the same content; unreadable ones alone."""
    count = len(fingerprints.sha256)
    groups = np.arange(count)
    readable = np.flatnonzero(fingerprints.readable)
    keys = np.ascontiguousarray(fingerprints.sha256[readable]).view("V32").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    groups[readable] = readable[first][inverse]
    return groups


def _near_components(fingerprints: Fingerprints, compared: np.ndarray) -> np.ndarray:
    """Return for each compared picture the place of the first one of its group.

    Args:
        fingerprints: Of the set.
        compared: The pictures to compare, int (n,).

    Returns:
        int64 (n,), places in `compared`.
    """
    hashes = fingerprints.hashes[compared]
    mirrored = fingerprints.mirrored_hashes[compared]
    thumbnails = fingerprints.thumbnails[compared]
    groups = np.arange(len(compared))
    for start in range(0, len(compared), ROWS_AT_ONCE):
        rows, columns, is_mirrored = _close_hashes(hashes, mirrored, start)
        apart = groups[rows] != groups[columns]
        pairs = rows[apart], columns[apart], is_mirrored[apart]
        same = _look_alike(thumbnails, *pairs)
        if same.any():
            groups = _joined(groups, pairs[0][same], pairs[1][same])
    return groups


def _close_hashes(
    hashes: np.ndarray, mirrored: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs (row, column, mirrored) of some rows with all later columns."""
    block = hashes[start : start + ROWS_AT_ONCE, None]
    upright_bits = np.bitwise_count(block ^ hashes[None, start:])  # (rows, columns)
    mirrored_bits = np.bitwise_count(block ^ mirrored[None, start:])
    rows, columns = np.nonzero(np.minimum(upright_bits, mirrored_bits) <= MAX_BITS)
    later = columns > rows
    rows, columns = rows[later], columns[later]
    is_mirrored = mirrored_bits[rows, columns] < upright_bits[rows, columns]
    return rows + start, columns + start, is_mirrored


def _look_alike(
    thumbnails: np.ndarray, rows: np.ndarray, columns: np.ndarray, is_mirrored: np.ndarray
) -> np.ndarray:
    """Return which pairs of thumbnails correlate, bool (pairs,)."""
    same = np.zeros(len(rows), bool)
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        piece = slice(start, start + PAIRS_AT_ONCE)
        one = thumbnails[rows[piece]].astype(np.float32)
        other = thumbnails[columns[piece]].astype(np.float32)
        turned = other.reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)[:, :, ::-1]
        other = np.where(is_mirrored[piece, None], turned.reshape(other.shape), other)
        same[piece] = correlations(one, other) >= MIN_CORRELATION
    return same


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each row with the other's row, float32 (rows,).

    Brightness and contrast, which editing changes, do not count in it.

    Args:
        one: float32 (rows, values).
        other: float32 (rows, values).
    """
    one = one - one.mean(1, keepdims=True)
    other = other - other.mean(1, keepdims=True)
    scale = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    return (one * other).sum(1) / np.maximum(scale, 1e-6)


def _joined(groups: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the groups after those of each pair became one, named by their first member."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(groups)
    links = coo_matrix(
        (np.ones(len(rows), np.int8), (groups[rows], groups[columns])), shape=(count, count)
    )
    _, component = connected_components(links, directed=False)
    of_member = component[groups]
    first = np.unique(of_member, return_index=True)[1]
    return first[np.unique(of_member, return_inverse=True)[1]]
