"""How an image is laid before the loss network: mirrored borders, moving grids, tiles.

The network pads with zeros, which an image never has beside it: the border is mirrored, so that
what the zeros touch lies outside. Its strides look at every second, fourth, sixteenth pixel,
always the same ones, and would draw that grid into the image: it is laid a few pixels
elsewhere at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

# Mirrored pixels on each side of a whole image, and how far the grid moves at most.
BORDER = 32
SHIFT = 16
# Shifts that meet every remainder of 4 once in rows and in columns: few, because the content's
# features are kept for each.
SHIFTS = ((0, 0), (5, 10), (10, 5), (15, 15))
# Of the gradient, in pixels.
SMOOTHING = 0.8


def mirrored(pixels: np.ndarray, border: int) -> np.ndarray:
    """Return an image with mirrored borders.

    Args:
        pixels: (height, width, channels), each side larger than `border`.
        border: Pixels on each side.
    """
    return np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="reflect")


def folded(gradient: np.ndarray, border: int) -> np.ndarray:
    """Return the gradient of the image from that of its mirrored form: the adjoint.

    Args:
        gradient: (height + 2 border, width + 2 border, channels); it is changed.
        border: See `mirrored`.
    """
    for axis in (0, 1):
        whole = np.moveaxis(gradient, axis, 0)
        inner = whole[border:-border]
        inner[1 : border + 1] += whole[:border][::-1]
        inner[-border - 1 : -1] += whole[-border:][::-1]
        gradient = np.moveaxis(inner, 0, axis)
    return gradient


def smoothed(gradient: np.ndarray) -> np.ndarray:
    """Return a gradient without what only single pixels ask for, float32 (height, width, 3).

    A network that looks at every second pixel asks for hatching that nobody wants to see; the
    image's own fine lines stay, because it starts from them.
    """
    return cv2.GaussianBlur(
        np.ascontiguousarray(gradient), (0, 0), SMOOTHING, borderType=cv2.BORDER_REFLECT_101
    )


@dataclass(frozen=True)
class CanvasPatch:
    """A rectangle of an image with mirrored borders, and the part of it that counts.

    Attributes:
        rows: Rows of the mirrored image.
        columns: Columns of the mirrored image.
        core_rows: The rows that count, relative to the patch.
        core_columns: The columns that count, relative to the patch.
    """

    rows: slice
    columns: slice
    core_rows: slice
    core_columns: slice

    def of(self, canvas: np.ndarray) -> np.ndarray:
        """Return the patch's pixels, contiguous, with a batch axis, (1, height, width, n)."""
        return np.ascontiguousarray(canvas[None, self.rows, self.columns])


def whole_patch(height: int, width: int, shift: tuple[int, int]) -> CanvasPatch:
    """Return the patch that holds a whole image, the grid shifted.

    Args:
        height: Height of the image without borders.
        width: Width of the image without borders.
        shift: Rows and columns, 0 to `SHIFT`.
    """
    rows = height + 2 * BORDER - SHIFT
    columns = width + 2 * BORDER - SHIFT
    down, right = shift
    return CanvasPatch(
        slice(down, down + rows),
        slice(right, right + columns),
        slice(BORDER - down, BORDER - down + height),
        slice(BORDER - right, BORDER - right + width),
    )


def tile_patches(
    height: int,
    width: int,
    tile: int,
    halo: int,
    shift: tuple[int, int] = (0, 0),
    phase: tuple[int, int] = (0, 0),
) -> Iterator[CanvasPatch]:
    """Yield the tiles of an image, each with what the network sees around it.

    The cores cover the image without overlap; all patches have the same size.

    Args:
        height: Height of the image without borders.
        width: Width of the image without borders.
        tile: The side of a core.
        halo: Pixels around a core. The image is mirrored by that and `SHIFT` more.
        shift: How far the seams are moved up and left, each 0 to below `tile`.
        phase: How far the network's grid is moved down and right, each 0 to `SHIFT`.
    """
    for rows, core_rows in _spans(height, tile, halo, shift[0], phase[0]):
        for columns, core_columns in _spans(width, tile, halo, shift[1], phase[1]):
            yield CanvasPatch(rows, columns, core_rows, core_columns)


def _spans(
    side: int, tile: int, halo: int, shift: int, phase: int
) -> Iterator[tuple[slice, slice]]:
    """Yield the span of each tile along one axis of the mirrored image, and its core."""
    inner = min(tile, side)
    length = inner + 2 * halo + SHIFT
    for start in range(-shift, side, tile):
        first, last = max(0, start), min(side, start + tile)
        if last <= first:
            continue
        begin = min(max(start, 0), side - inner) + phase
        before = halo + SHIFT - begin
        yield slice(begin, begin + length), slice(first + before, last + before)


def resized(
    pixels: np.ndarray, height: int, width: int, enlarging: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """Return pixels, moments or masks at another size, (height, width, n), float32.

    Args:
        pixels: (height, width) or (height, width, n); averaged where it shrinks.
        height: Height of the result.
        width: Width of the result.
        enlarging: OpenCV's interpolation where it grows: bicubic overshoots, linear never does.
    """
    if pixels.shape[:2] == (height, width):
        return pixels.reshape(height, width, -1).astype(np.float32)
    shrinks = pixels.shape[0] * pixels.shape[1] > height * width
    method = cv2.INTER_AREA if shrinks else enlarging
    if pixels.dtype != np.uint8:  # a large photo stays in bytes until it is small
        pixels = pixels.astype(np.float32)
    found = cv2.resize(pixels, (width, height), interpolation=method)
    return found.reshape(height, width, -1).astype(np.float32)
