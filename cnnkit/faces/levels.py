"""An image at a few sizes, each cut into pieces, for a network that sees faces of many sizes.

YuNet finds faces of about 12 to 480 pixels in one look. So the image is looked at in the size in
which its smallest wanted faces are large enough, and again at a quarter of that size, as long as
faces may be too large for it. An image of up to 640 pixels a side is looked at as it is.

A size that is longer than `PIECE` is cut into pieces that overlap by more than the largest face
that is taken from it: memory stays bounded, and each face lies wholly in the piece that owns its
center.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

LONG_SIDE = 640  # pixels at least, of an image that has them
LEAST_SIDE = 14  # of the smallest face that is wanted, in the finest size
LARGEST_SIDE = 480  # of a face that is taken from a size with a coarser one after it
FACTOR = 4  # from one size to the next
SHARED = 0.75  # faces from this share of the largest one on are looked for in the coarser size too
PIECE = 1536
OVERLAP = 512
GRAIN = 32  # sides of what the network sees are multiples of this


class Level(NamedTuple):
    """An image at one size, and the faces that are taken from it.

    Attributes:
        scale: Pixels of the level over those of the image.
        least: Longer side of the smallest face, pixels of the level.
        largest: Longer side of the largest face.
    """

    scale: float
    least: float
    largest: float


class Halvings:
    """An image, its half, its quarter and so on, each made once, when it is first asked for.

    All sizes and all closer looks share them. A pixel is the mean of four of the size before; an
    odd last row or column is left out, for between sizes of exactly two to one OpenCV averages
    ten times as fast as between others.
    """

    def __init__(self, image: np.ndarray) -> None:
        """Keep an image, uint8 (height, width, 3)."""
        self._made = [image]

    @property
    def image(self) -> np.ndarray:
        """The image itself."""
        return self._made[0]

    def at(self, times: int) -> np.ndarray:
        """Return the image halved so many times, its sides divided by ``2 ** times`` and floored.

        Raises:
            ValueError: Nothing would be left of a side.
        """
        while len(self._made) <= times:
            rows, columns = (side // 2 for side in self._made[-1].shape[:2])
            if min(rows, columns) < 1:
                raise ValueError(f"`times` must leave a pixel of each side. Received: {times}.")
            even = self._made[-1][: 2 * rows, : 2 * columns]
            self._made.append(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA))
        return self._made[times]

    def towards(self, rows: int, columns: int) -> int:
        """Return how often the image can be halved without falling below rows x columns."""
        height, width = self.image.shape[:2]
        return max(1, min(height // rows, width // columns)).bit_length() - 1


class LevelPiece(NamedTuple):
    """A part of a level.

    Attributes:
        pixels: uint8 (rows, columns, 3), black below and to the right of the level; the sides
            are multiples of `GRAIN`.
        scale_x: Columns of the level over those of the image.
        scale_y: Rows of the level over those of the image.
        left: Column of the level where the piece begins.
        top: Row of the level where it begins.
        core: Left, top, right, bottom in pixels of the piece: where the centers of its own faces
            lie.
    """

    pixels: np.ndarray
    scale_x: float
    scale_y: float
    left: int
    top: int
    core: tuple[float, float, float, float]


def levels(height: int, width: int, min_face: int) -> list[Level]:
    """Return the sizes at which an image is searched, the finest first.

    Args:
        height: Height of the image, pixels.
        width: Width of the image.
        min_face: Longer side of the smallest face that is wanted, pixels of the image.
    """
    scale = min(1.0, max(LONG_SIDE / max(height, width), LEAST_SIDE / min_face))
    found = []
    least = 0.0
    while min(height, width) * scale > LARGEST_SIDE:
        found.append(Level(scale, least, LARGEST_SIDE))
        scale, least = scale / FACTOR, SHARED * LARGEST_SIDE / FACTOR
    return [*found, Level(scale, least, np.inf)]


def level_pieces(halvings: Halvings, scale: float) -> Iterator[LevelPiece]:
    """Yield the pieces of an image at one size.

    Args:
        halvings: The image.
        scale: At most 1.
    """
    rows, columns = (max(1, round(side * scale)) for side in halvings.image.shape[:2])
    times = halvings.towards(rows, columns)
    halved = halvings.at(times)
    # Of the image itself, without the last lines that its halves leave out.
    height, width = (side << times for side in halved.shape[:2])
    pixels = resized(halved, rows, columns)
    for top, above, below in _parts(rows):
        for left, before, behind in _parts(columns):
            part = pixels[top : top + PIECE, left : left + PIECE]
            core = (before - left, above - top, behind - left, below - top)
            yield LevelPiece(padded(part), columns / width, rows / height, left, top, core)


def resized(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return pixels at a size of at least half of theirs, by lines between them."""
    if pixels.shape[:2] == (rows, columns):
        return pixels
    return cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR)


def _parts(length: int) -> list[tuple[int, float, float]]:
    """Return for each part of a side where it begins, and between what borders it owns faces."""
    starts = list(range(0, max(1, length - OVERLAP), PIECE - OVERLAP))
    borders = [start + OVERLAP / 2 for start in starts[1:]]
    return list(zip(starts, [-np.inf, *borders], [*borders, np.inf], strict=True))


def padded(pixels: np.ndarray) -> np.ndarray:
    """Return pixels with black below and to the right, to sides that are multiples of `GRAIN`."""
    rows, columns = pixels.shape[:2]
    below, behind = (-side % GRAIN for side in (rows, columns))
    return cv2.copyMakeBorder(pixels, 0, below, 0, behind, cv2.BORDER_CONSTANT)
