"""Finds copies: the same file, and the same image rescaled, recompressed, edited or mirrored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnnkit.diagnosis.fingerprints import THUMBNAIL_SIDE, Fingerprints

# Rescaled, recompressed and brightened photos differ in 0 to 6 bits of 64 and correlate to
# 0.95 and more (8 edits of 217 photos). Of 180,000 pairs of different photos none came under
# 12 bits; of 50 million pairs of crops none of two different photos passed both tests.
MAX_BITS = 6
MIN_CORRELATION = 0.95
# Of a smaller image the hash holds nearly all there is: two drawings of the same digit
# would be taken for copies. Those are compared by content only.
MIN_SIDE = 64
# Blank images have nothing to compare: see `cnnkit.diagnosis.classes`.
BLANK_DEVIATION = 1.5

# Where more than half of a class of that many is alike, it is the class's nature.
MANY_ALIKE = 10

# Together 32 MB of hashes, compared at a time.
ROWS_AT_ONCE, COLUMNS_AT_ONCE = 256, 16_384
PAIRS_AT_ONCE = 8192


@dataclass(frozen=True)
class Copies:
    """Which images are copies of which; an image without copies is a group of its own.

    Attributes:
        exact: int64 (images,): the same number for files with the same content.
        near: int64 (images,): the same number also for images that nearly look the same
            as one image of the group, mirrored or not. Chains, in which the first and the
            last have nothing in common, are cut. See `groups_for_split`.
        chained: int64 (images,): likewise, chains as one group: no pair of near copies is in
            two groups.
    """

    exact: np.ndarray
    near: np.ndarray
    chained: np.ndarray

    def among(self, places: np.ndarray) -> Copies:
        """Return the same of some of the images."""
        return Copies(self.exact[places], self.near[places], self.chained[places])


def find_copies(fingerprints: Fingerprints) -> Copies:
    """Compare all images with all others.

    Every pair within `MAX_BITS` of each other is found: whole rows of 64-bit hashes are
    compared at a time, 10,000 images in about a second, in bounded memory.

    Args:
        fingerprints: Fingerprints of the set.
    """
    exact = _exact_groups(fingerprints)
    first = np.unique(exact, return_index=True)[1]
    compared = first[comparable(fingerprints)[first]]
    order = _by_neighbors(fingerprints, compared)
    return Copies(
        exact,
        _for_all(exact, compared, _first_members(_near_stars(fingerprints, compared, order))),
        _for_all(exact, compared, _near_components(fingerprints, compared)),
    )


def comparable(fingerprints: Fingerprints) -> np.ndarray:
    """Return which images have enough in them to be compared by their looks, bool (images,)."""
    large = fingerprints.sizes.min(1) >= MIN_SIDE
    return fingerprints.readable & large & (fingerprints.deviations >= BLANK_DEVIATION)


def find_originals(
    fingerprints: Fingerprints, preference: np.ndarray, by_looks: np.ndarray | None = None
) -> np.ndarray:
    """Return for each image the one that is to be kept in its place, or itself.

    Going through the images by preference, each is kept unless it is a copy of one that is kept
    already: a file with the same content, or an image that nearly looks the same. So every image
    is compared with the very one that is kept for it; there are no chains.

    Args:
        fingerprints: Fingerprints of the set.
        preference: Every image's index once, those to keep first, int (images,).
        by_looks: Which images may be copies by their looks, too, bool (images,); by default all.

    Returns:
        int64 (images,).
    """
    rank = np.empty(len(preference), np.int64)
    rank[preference] = np.arange(len(preference))
    exact = _exact_groups(fingerprints)
    best = _most_preferred(exact, rank)
    looked_at = comparable(fingerprints)
    if by_looks is not None:
        looked_at &= by_looks
    compared = np.flatnonzero((best == np.arange(len(best))) & looked_at)
    middles = _near_stars(fingerprints, compared, np.argsort(rank[compared]))
    originals = np.arange(len(best))
    originals[compared] = compared[middles]
    return originals[best]


def _most_preferred(groups: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return for each image the member of its group with the lowest rank, int64 (images,)."""
    order = np.lexsort((rank, groups))
    starts = np.unique(groups[order], return_index=True)[1]
    inverse = np.unique(groups, return_inverse=True)[1]
    return order[starts][inverse]


def _for_all(exact: np.ndarray, compared: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the groups of all images from those of the compared ones."""
    representative = np.arange(len(exact))
    representative[compared] = compared[parts]
    return representative[exact]


def _near_stars(fingerprints: Fingerprints, compared: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return for each image the one in the middle of its group, which all others look like.

    Args:
        fingerprints: Fingerprints of the set.
        compared: The images to compare, int (n,).
        order: Places in `compared`: which image becomes a middle first, int (n,).

    Returns:
        int64 (n,), places in `compared`.
    """
    ordered = compared[order]
    hashes = fingerprints.hashes[ordered]
    mirrored = fingerprints.mirrored_hashes[ordered]
    thumbnails = fingerprints.thumbnails[ordered]

    def alike(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs that nearly look the same."""
        rows, columns, is_mirrored = _close(hashes, mirrored, rows, columns)
        same = _look_alike(thumbnails, rows, columns, is_mirrored)
        return rows[same], columns[same]

    middle = stars(len(ordered), alike)
    found = np.empty(len(ordered), np.int64)
    found[order] = order[middle]
    return found


# Gives the pairs of some rows and some columns that are alike, in the order of the rows and, of a
# row, of the columns.
Alike = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def stars(count: int, alike: Alike, rows_at_once: int = ROWS_AT_ONCE) -> np.ndarray:
    """Return for each item the one in the middle of its group, which all others are like.

    Going through the items in order, each becomes the middle of a group of its own unless it is
    like an earlier middle; then it belongs to the first of those.

    Args:
        count: Number of items.
        alike: Tells which are alike.
        rows_at_once: Items that are compared with all middles so far at a time.

    Returns:
        int64 (count,); a middle's own is itself.
    """
    middle = np.full(count, -1)
    middles = np.zeros(0, np.int64)
    for start in range(0, count, rows_at_once):
        block = np.arange(start, min(start + rows_at_once, count))
        rows, columns = alike(block, middles)
        # Assigned from the last to the first, so that the first middle stays.
        middle[rows[::-1]] = columns[::-1]
        open_rows = block[middle[block] < 0]
        rows, columns = alike(open_rows, open_rows)
        pairs = np.zeros((len(block), len(block)), bool)
        pairs[rows - start, columns - start] = True
        for row in open_rows:
            if middle[row] < 0:
                own = open_rows[(middle[open_rows] < 0) & pairs[open_rows - start, row - start]]
                middle[own] = row
                middle[row] = row
        middles = np.concatenate([middles, block[middle[block] == block]])
    return middle


def bits_apart(fingerprints: Fingerprints, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return in how many of 64 bits the hashes of pairs differ, upright or mirrored, int (pairs,).

    Args:
        fingerprints: Fingerprints of the set.
        one: The first image of each pair, int (pairs,).
        other: The second one of each.
    """
    hashes, mirrored = fingerprints.hashes, fingerprints.mirrored_hashes
    upright = np.bitwise_count(hashes[one] ^ hashes[other])
    return np.minimum(upright, np.bitwise_count(hashes[one] ^ mirrored[other]))


def _first_members(groups: np.ndarray) -> np.ndarray:
    """Return groups named by the place of their first member, int64 (n,)."""
    first = np.unique(groups, return_index=True)[1]
    return first[np.unique(groups, return_inverse=True)[1]]


def _by_neighbors(fingerprints: Fingerprints, compared: np.ndarray) -> np.ndarray:
    """Return the places of the compared images, those with most close hashes first.

    An original comes before its edits. The order depends on the contents alone.
    """
    hashes, mirrored = fingerprints.hashes[compared], fingerprints.mirrored_hashes[compared]
    degrees = np.zeros(len(compared), np.int64)
    everyone = np.arange(len(compared))
    for start in range(0, len(compared), ROWS_AT_ONCE):
        block = everyone[start : start + ROWS_AT_ONCE]
        rows = _close(hashes, mirrored, block, everyone)[0]
        degrees[block] = np.bincount(rows - start, minlength=len(block))
    contents = np.ascontiguousarray(fingerprints.sha256[compared])
    return np.lexsort((*contents.T[::-1], -degrees))


def _bits(
    hashes: np.ndarray, mirrored: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return in how many bits rows and columns differ, upright and mirrored (rows, columns)."""
    block = hashes[rows, None]
    upright = np.bitwise_count(block ^ hashes[None, columns])
    return upright, np.bitwise_count(block ^ mirrored[None, columns])


def _close(
    hashes: np.ndarray, mirrored: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs (row, column, mirrored) whose hashes are close, in the rows' order."""
    pairs = []
    for start in range(0, max(1, len(columns)), COLUMNS_AT_ONCE):
        some = columns[start : start + COLUMNS_AT_ONCE]
        upright, turned = _bits(hashes, mirrored, rows, some)
        at_row, at_column = np.nonzero(np.minimum(upright, turned) <= MAX_BITS)
        is_mirrored = turned[at_row, at_column] < upright[at_row, at_column]
        pairs.append((at_row, some[at_column], is_mirrored))
    at_row, column, is_mirrored = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.argsort(at_row, kind="stable")  # the columns of a row rise from piece to piece
    return rows[at_row[order]], column[order], is_mirrored[order]


# What a user may say of near copies; None: what `groups_for_split` does by itself.
COPIES = ("together", "apart")


class Grouping(NamedTuple):
    """What a split keeps together.

    Attributes:
        groups: int64 (images,): images with the same number stay in one split.
        alike: The classes whose near copies are not kept together, because most of the class
            is alike.
    """

    groups: np.ndarray
    alike: tuple[int, ...] = ()


def groups_for_split(
    copies: Copies, labels: np.ndarray, parts: int, rule: str | None = None
) -> Grouping:
    """Return which images a split keeps together.

    Files with the same content always stay together, near copies do by default, but for the
    classes that are mostly alike, as a fixed camera makes them: kept together they could not
    be divided, or one split would get most of the class.

    Args:
        copies: Copies of the images.
        labels: The class of each, int (images,).
        parts: How many splits there will be.
        rule: ``together``: near copies always stay together; ``apart``: never; None: see above.
    """
    if rule == "together":
        return Grouping(copies.near)
    if rule == "apart":
        return Grouping(copies.exact)
    groups = copies.near.copy()
    alike = [int(c) for c in np.unique(labels) if _mostly_alike(copies, labels == c, parts)]
    stepping_back = np.isin(labels, alike)
    # Numbers of their own: another class may keep the group that has this number.
    groups[stepping_back] = copies.exact[stepping_back] + groups.max(initial=0) + 1
    return Grouping(groups, tuple(alike))


def _mostly_alike(copies: Copies, members: np.ndarray, parts: int) -> bool:
    first = np.unique(copies.exact[members], return_index=True)[1]
    near = copies.near[members][first]
    sizes = np.unique(near, return_counts=True)[1]
    if len(near) < parts:
        return False  # nothing would be won
    return len(sizes) < parts or (len(near) >= MANY_ALIKE and sizes.max() > len(near) / 2)


def _exact_groups(fingerprints: Fingerprints) -> np.ndarray:
    """Return for each image the first one with the same content; unreadable ones alone."""
    count = len(fingerprints.sha256)
    groups = np.arange(count)
    readable = np.flatnonzero(fingerprints.readable)
    keys = np.ascontiguousarray(fingerprints.sha256[readable]).view("V32").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    groups[readable] = readable[first][inverse]
    return groups


def _near_components(fingerprints: Fingerprints, compared: np.ndarray) -> np.ndarray:
    """Return for each compared image the place of the first one of its group.

    Args:
        fingerprints: Fingerprints of the set.
        compared: The images to compare, int (n,).

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
    later = np.arange(start, len(hashes))
    rows, columns, is_mirrored = _close(hashes, mirrored, later[:ROWS_AT_ONCE], later)
    ahead = columns > rows
    return rows[ahead], columns[ahead], is_mirrored[ahead]


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
