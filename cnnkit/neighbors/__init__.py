"""The nearest of many vectors, exactly, in bounded memory: of embeddings, examples, and faces."""

from cnnkit.neighbors.grouped import GroupedVectors
from cnnkit.neighbors.metrics import (
    BLOCK,
    DISTANCES,
    cosines,
    distances,
    lengths_of,
    quick_distances,
    squared_lengths,
)
from cnnkit.neighbors.pairs import pair_cosines, similar_pairs
from cnnkit.neighbors.search import most_similar, nearest

__all__ = [
    "BLOCK",
    "DISTANCES",
    "GroupedVectors",
    "cosines",
    "distances",
    "lengths_of",
    "most_similar",
    "nearest",
    "pair_cosines",
    "quick_distances",
    "similar_pairs",
    "squared_lengths",
]
