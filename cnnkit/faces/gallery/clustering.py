"""Sorts faces by person without any names: a graph of near faces, and Chinese whispers on it.

Biemann, "Chinese Whispers: an efficient graph clustering algorithm" (TextGraphs 2006): every
face begins as a person of its own and takes over, in random order and until nothing changes, the
person that most of its near neighbors have. Unlike joining whatever is near (single linkage), a
single face between two people does not make them one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnkit.neighbors import BLOCK, quick_distances

# Of each face, so many of its nearest neighbors count: memory stays bounded where one person
# has thousands of photos.
MOST_NEIGHBORS = 50
MOST_ROUNDS = 100


def cluster(
    vectors: np.ndarray, threshold: float, metric: str = "euclidean", seed: int = 0
) -> np.ndarray:
    """Return which faces are of one person.

    Args:
        vectors: float32 (faces, dimensions).
        threshold: Faces at most so far apart are neighbors.
        metric: ``euclidean`` or ``manhattan``.
        seed: Random seed for the order in which faces choose.

    Returns:
        int (faces,): numbers from 0, the person with most faces first, among equals the one who
        comes first.
    """
    neighbors = near_neighbors(vectors, threshold, metric)
    labels = np.arange(len(vectors))
    generator = np.random.default_rng(seed)
    for _ in range(MOST_ROUNDS):
        changed = False
        for face in generator.permutation(len(vectors)):
            others, weights = neighbors[face]
            if not len(others):
                continue
            best = _heaviest(labels[others], weights)
            changed |= bool(best != labels[face])
            labels[face] = best
        if not changed:
            break
    return _by_size(labels)


def near_neighbors(
    vectors: np.ndarray, threshold: float, metric: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the neighbors of each face and their weights.

    A weight is 1 at the distance 0 and falls to a half at the threshold.
    """
    found = []
    for rows in _blocks(vectors):
        for face, apart in zip(rows, quick_distances(vectors[rows], vectors, metric), strict=True):
            apart[face] = np.inf
            near = np.flatnonzero(apart <= threshold)
            if len(near) > MOST_NEIGHBORS:
                near = near[np.argsort(apart[near], kind="stable")[:MOST_NEIGHBORS]]
            scale = 2 * threshold if threshold > 0 else 1.0
            found.append((near, 1 - apart[near] / scale))
    return found


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Give the faces' numbers in parts whose distances to all others fit into memory."""
    step = max(1, BLOCK // max(1, len(vectors)))
    for start in range(0, len(vectors), step):
        yield np.arange(start, min(start + step, len(vectors)))


def _heaviest(labels: np.ndarray, weights: np.ndarray) -> int:
    """Return the label with the largest sum of weights, the smallest of equals."""
    names, places = np.unique(labels, return_inverse=True)
    return int(names[np.argmax(np.bincount(places, weights))])


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Return the same groups numbered by size, the largest first, then by first member."""
    if not len(labels):
        return labels
    names, first, places, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(names), np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(names))
    return rank[places]
