"""An image at many sizes, laid out on canvases, so that few calls of one network see them all.

The proposal network looks at windows of 12x12 pixels, every 2 pixels. On a canvas the windows
that lie inside one level give exactly what they would give on that level alone; those across
a border are omitted. Sides are even, so that no window is cut short at a level's end. Canvases
come in few sizes, because a runtime prepares itself again for each size, and never grow beyond
`MAX_CANVAS`: a larger level is cut into pieces that overlap by what a window needs.

Every level has a black border, as the crops of the later networks are black where they reach
beyond the image: faces that the image's edge cuts are found more often so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

WINDOW = 12
STRIDE = 2
BORDER = 4  # black pixels around each level, a third of a window
FACTOR = 0.709  # from one level to the next: half of the area
PIECE = 1024  # the longest side of a piece, pixels
MAX_CANVAS = 2 * PIECE
GRAIN = 64  # sides of a canvas are multiples of this
EMPTY = 127


class Piece(NamedTuple):
    """A part of a level, and where it lies on its canvas.

    Attributes:
        pixels: uint8 (rows, columns, 3).
        scale_x: Columns of the level over those of the image.
        scale_y: Rows of the level over those of the image.
        left: Column of the level where the piece begins; negative in the border.
        top: Row of the level where it begins.
        level: Which level, 0 the largest.
    """

    pixels: np.ndarray
    scale_x: float
    scale_y: float
    left: int
    top: int
    level: int


@dataclass
class Canvas:
    """Pieces side by side.

    Attributes:
        placed: Each piece with its column and row on the canvas.
        width: Columns in use.
        height: Rows in use.
    """

    placed: list[tuple[Piece, int, int]] = field(default_factory=list)
    width: int = 0
    height: int = 0
    _shelves: list[list[int]] = field(default_factory=list)  # top, height, columns in use

    def add(self, piece: Piece) -> bool:
        """Place a piece on the first shelf with room, or on a new one; whether there was room.

        Pieces come in falling height. The first one decides the width.
        """
        rows, columns = piece.pixels.shape[:2]
        self.width = self.width or columns
        for shelf in self._shelves:
            top, height, used = shelf
            if rows <= height and used + columns <= self.width:
                self.placed.append((piece, used, top))
                shelf[2] += columns
                return True
        if columns > self.width or (self.placed and self.height + rows > MAX_CANVAS):
            return False
        self.placed.append((piece, 0, self.height))
        self._shelves.append([self.height, rows, columns])
        self.height += rows
        return True

    def paint(self) -> np.ndarray:
        """Return the canvas, uint8 (rows, columns, 3), sides multiples of `GRAIN`."""
        sides = (-(-side // GRAIN) * GRAIN for side in (self.height, self.width))
        pixels = np.full((*sides, 3), EMPTY, np.uint8)
        for piece, left, top in self.placed:
            rows, columns = piece.pixels.shape[:2]
            pixels[top : top + rows, left : left + columns] = piece.pixels
        return pixels


def scales(height: int, width: int, min_face: int) -> list[float]:
    """Return the scales at which an image is searched, the largest first.

    At a level's scale a window of 12 pixels covers a face of 12 / scale pixels; the first level
    is for the smallest faces that are wanted, in the last one a window reaches beyond the short
    side by a border at most.
    """
    found = []
    scale = WINDOW / min_face
    while min(height, width) * scale >= WINDOW - BORDER:
        found.append(scale)
        scale *= FACTOR
    return found


def even(length: float) -> int:
    """Return a length rounded up to a multiple of 2."""
    return 2 * int(np.ceil(length / 2 - 1e-9))


def pieces(image: np.ndarray, min_face: int) -> Iterator[Piece]:
    """Yield the pieces of all levels of an image, the largest level first.

    Args:
        image: uint8 (height, width, 3).
        min_face: Sides of the smallest faces that are wanted, pixels.
    """
    height, width = image.shape[:2]
    base = image
    for level, scale in enumerate(scales(height, width, min_face)):
        rows, columns = even(height * scale), even(width * scale)
        base = halved_towards(base, rows, columns)
        inside = cv2.resize(base, (columns, rows), interpolation=cv2.INTER_AREA)
        pixels = cv2.copyMakeBorder(inside, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT)
        for top in _starts(pixels.shape[0]):
            for left in _starts(pixels.shape[1]):
                part = pixels[top : top + PIECE, left : left + PIECE]
                yield Piece(
                    part, columns / width, rows / height, left - BORDER, top - BORDER, level
                )


def halved_towards(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the image at 1/2, 1/4 and so on of its size, not below rows x columns.

    Averages of averages are averages: a small level made of a reduced image is that of the
    whole one, for a fraction of the work.
    """
    while image.shape[0] >= 2 * rows and image.shape[1] >= 2 * columns:
        size = (round(image.shape[1] / 2), round(image.shape[0] / 2))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image


def _starts(length: int) -> list[int]:
    """Return where the pieces of a side begin: they overlap by all but a stride of a window."""
    step = PIECE - (WINDOW - STRIDE)
    return list(range(0, max(1, length - (WINDOW - STRIDE)), step))


def canvases(image: np.ndarray, min_face: int) -> list[Canvas]:
    """Return an image's levels laid out on canvases; see `pieces`."""
    found: list[Canvas] = []
    for piece in pieces(image, min_face):
        if not any(canvas.add(piece) for canvas in found):
            found.append(Canvas())
            found[-1].add(piece)
    return found
