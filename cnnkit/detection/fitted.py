"""Smaller inputs for photos that are no squares: less of the network's input is bars.

A photo of 4:3 fills three quarters of a square, and what a convolutional network computes on the
rest is wasted. Such a network also takes an input of about three quarters of the square, upright or
lying: the middle of what was prepared. Which one it takes depends on the photo's proportions alone,
never on what else is in the batch; there are few, for the network is compiled for each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnkit.images import InputSpec, Prepared

# The coarsest stride. The middle begins a multiple of it from the edges of the whole, or else the
# network sees the image on other cells: on the same ones its scores move by 0.014 (standard
# deviation, 413 objects of 200 photos), on others by 0.05.
GRAIN = 32
SHARES = (2 / 3, 3 / 4)  # short over long side of the usual photos; 16:9 takes the first


def fitted_sizes(spec: InputSpec) -> tuple[tuple[int, int], ...]:
    """Return the heights and widths besides the network's own, the smallest first."""
    if spec.fit != "pad" or spec.height % GRAIN or spec.width % GRAIN:
        return ()
    found: dict[tuple[int, int], None] = {}
    for share in SHARES:
        low, narrow = (side - _spared(side, share) for side in spec.size)
        found |= dict.fromkeys([(low, spec.width), (spec.height, narrow)])
    return tuple(size for size in found if size != spec.size)


def _spared(side: int, share: float) -> int:
    """Return how much of a side, alike at both ends, a photo of that share leaves unused."""
    return int(side * (1 - share) / (2 * GRAIN)) * 2 * GRAIN


def fitted(prepared: Prepared, sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the middle of a prepared image in the first size that shows the whole image.

    Args:
        prepared: An image as the network takes it.
        sizes: Heights and widths; the image stays as it is where none suffices.

    Returns:
        uint8 (height, width, 3), a view.
    """
    for size in sizes:
        top, left = begins(prepared.pixels.shape, size)
        window, place = prepared.placement.window, prepared.placement
        below, behind = place.top + window.height, place.left + window.width
        if place.top >= top and place.left >= left:
            if below <= top + size[0] and behind <= left + size[1]:
                return prepared.pixels[top : top + size[0], left : left + size[1]]
    return prepared.pixels


def begins(whole: Sequence[int], size: Sequence[int]) -> tuple[int, int]:
    """Return the row and the column of the whole where its middle of a size begins."""
    return (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
