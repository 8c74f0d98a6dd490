"""Occlusion: what a score loses when a patch of the image is hidden. Works for any score.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks",
https://arxiv.org/abs/1311.2901, section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnkit.images.prepare import PAD_VALUE
from cnnkit.writers.row_files import batched

Score = Callable[[np.ndarray], np.ndarray]

# Patches along the shorter side; each is hidden twice as large, so that they overlap by half.
CELLS = 14
BATCH = 16


def occluded_heat(
    image: np.ndarray, score: Score, cells: int = CELLS, fill: int = PAD_VALUE
) -> np.ndarray:
    """Return how much a score drops where the image is hidden.

    Args:
        image: Uint8 (height, width, 3).
        score: Gives the scores, float (n,), of images, uint8 (n, height, width, 3).
        cells: Cells of the map along the shorter side, at least 1; each patch is two cells wide.
        fill: The gray that hides.

    Returns:
        Float32 (rows, columns), cells of equal size that tile the image: the mean drop over
        the patches that hide the cell; negative where hiding it raises the score.
    """
    height, width = image.shape[:2]
    side = max(1, min(height, width) // max(1, cells))
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    edges_y = np.linspace(0, height, rows + 1).round().astype(int)
    edges_x = np.linspace(0, width, columns + 1).round().astype(int)
    places = [(r, c) for r in range(-1, rows) for c in range(-1, columns)]
    whole = float(score(image[None])[0])
    drop, count = np.zeros((rows, columns)), np.zeros((rows, columns))
    for some in batched(places, BATCH):
        hidden = np.repeat(image[None], len(some), axis=0)
        spans = [(slice(max(r, 0), r + 2), slice(max(c, 0), c + 2)) for r, c in some]
        for one, (down, across) in zip(hidden, spans, strict=True):
            top, bottom = edges_y[down.start], edges_y[min(down.stop, rows)]
            left, right = edges_x[across.start], edges_x[min(across.stop, columns)]
            one[top:bottom, left:right] = fill
        for value, place in zip(score(hidden), spans, strict=True):
            drop[place] += whole - float(value)
            count[place] += 1
    return (drop / count).astype(np.float32)
