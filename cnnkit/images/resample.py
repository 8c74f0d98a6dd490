"""Resizes with antialiasing, as Pillow does, in a quarter of its time.

Shrinking without antialiasing (what OpenCV's own bilinear and bicubic do) passes over pixels
and costs accuracy. Pillow widens the kernel by the factor of shrinking. cykooz_resizer computes
the same by the processor's vector instructions: bilinear to two gray levels, bicubic and lanczos
too but where a kernel overshoots black or white, for Pillow shrinks the width first and cuts such
values off between the two steps, and area but where the edge of a box runs through the middle of
a pixel, which rounding puts to one side. Pillow itself enlarges but for area, and resizes where
that package has no wheel (Linux on ARM). benchmarks/preparation.py measures the closeness and the
time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

try:
    import cykooz_resizer
except ImportError:
    cykooz_resizer = None

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    # Without antialiasing, by OpenCV: Darknet's networks were trained on images shrunk so.
    # Antialiased ones cost YOLOv3-tiny up to 0.15 of a score.
    "plain-bilinear": None,
}

# The mean of a block of pixels is blurred by a box of that block. This takes the second moment of
# the blur out again, 1/12 of a decoded pixel squared: half of it from each side.
_SHARPENING = np.array([-1 / 24, 1 + 1 / 12, -1 / 24])
# The same kernels by cykooz_resizer's names; its Catmull-Rom is Pillow's bicubic.
_KERNELS = {
    "bilinear": "bilinear",
    "bicubic": "catmull_rom",
    "lanczos": "lanczos3",
    "area": "box",
}
# How far the kernels reach to each side, in resized pixels.
_REACH = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0, "area": 0.5}
# Whole blocks of pixels are averaged first while at least this many means become one pixel.
_PIXELS_LEFT = 3.0
# More pixels than this are resized in parts, for which less is copied: 48 MiB at a time.
_LARGEST_PART = 1 << 24
# OpenCV's warps count pixels in 16 bits.
_LARGEST_SIDE = 32_767 - 1


@dataclass(frozen=True)
class ResampleWindow:
    """An image resized as a whole, of which only a rectangle is needed.

    Attributes:
        full: (height, width) to which the whole image is resized.
        top: First row of the rectangle in the resized image.
        left: First column of the rectangle.
        height: Rows of the rectangle.
        width: Columns of the rectangle.
    """

    full: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def upper_and_lower_half(self) -> tuple[ResampleWindow, ResampleWindow]:
        """Return the two halves of a window of at least two rows."""
        rows = self.height // 2
        lower = replace(self, top=self.top + rows, height=self.height - rows)
        return replace(self, height=rows), lower


@dataclass(frozen=True)
class Axis:
    """How decoded pixels lie on those of the full image, along its height or its width.

    A JPEG decoded at an eighth of its scale has a last pixel that stands for fewer than eight where
    its side is no multiple of eight. Resized as if it were whole, it would squeeze the image.

    Attributes:
        count: Decoded pixels.
        size: Pixels of the full image.
        block: So many of them are one decoded pixel: 1, 2, 4 or 8.
        turned: Whether the block that is not whole is the first, as in an image turned upright.
    """

    count: int
    size: int
    block: int = 1
    turned: bool = False

    @property
    def start(self) -> float:
        """Where the image begins, in decoded pixels."""
        return self.count - self.size / self.block if self.turned else 0.0

    def place(self, pixel: float) -> float:
        """Return where the center of a pixel of the full image is, from that of the first one."""
        return self.start + (pixel + 0.5) / self.block - 0.5


def resize(
    image: Image.Image | np.ndarray,
    window: ResampleWindow,
    interpolation: str,
    axes: tuple[Axis, Axis] | None = None,
) -> np.ndarray:
    """Return one rectangle of the resized image, computed from its own pixels only.

    Args:
        image: Mode RGB, or uint8 (height, width, 3).
        window: The sizes and the rectangle.
        interpolation: A key of `RESAMPLING`; all but "plain-bilinear" antialias when shrinking.
        axes: Of an image decoded at a reduced scale: its height and its width.

    Returns:
        The rectangle, uint8 (window.height, window.width, 3), own memory.
    """
    if axes is None:
        height, width = _sides(image)
        axes = (Axis(height, height), Axis(width, width))
    if interpolation == "plain-bilinear":
        return _resize_plain(image, window, axes)
    reach = _REACH[interpolation]
    rows = _Cut.of(axes[0], window.full[0], window.top, window.height, reach)
    columns = _Cut.of(axes[1], window.full[1], window.left, window.width, reach)
    if rows.blocks * columns.blocks > _LARGEST_PART and window.height > 1:
        halves = window.upper_and_lower_half()
        return np.concatenate([resize(image, half, interpolation, axes) for half in halves])
    pixels = _means(image, rows, columns)
    if axes[0].block > 1:
        edge = cv2.BORDER_REPLICATE
        pixels = cv2.sepFilter2D(pixels, -1, _SHARPENING, _SHARPENING, borderType=edge)
    return _convolved(pixels, rows, columns, interpolation)


def _resize_plain(
    image: Image.Image | np.ndarray, window: ResampleWindow, axes: tuple[Axis, Axis]
) -> np.ndarray:
    """Return the rectangle by bilinear interpolation between the four nearest pixels.

    The corner pixels of both grids lie on each other, as in Darknet.

    Returns:
        uint8 (window.height, window.width, 3).
    """
    rows, columns = (
        (axis.size - 1) / max(1, side - 1) for axis, side in zip(axes, window.full, strict=True)
    )
    down, across = rows / axes[0].block, columns / axes[1].block
    found = np.empty((window.height, window.width, 3), np.uint8)
    for top, bottom in _bands(window.height, down):
        for left, right in _bands(window.width, across):
            start = (
                axes[1].place((window.left + left) * columns),
                axes[0].place((window.top + top) * rows),
            )
            size = (right - left, bottom - top)
            found[top:bottom, left:right] = _interpolated(image, start, (across, down), size)
    return found


def _bands(count: int, factor: float) -> Iterator[tuple[int, int]]:
    """Yield ranges of resized pixels that reach over no more of the image than OpenCV takes."""
    step = max(1, math.floor((_LARGEST_SIDE - 4) / max(factor, 1)))
    for first in range(0, count, step):
        yield first, min(count, first + step)


def _interpolated(
    image: Image.Image | np.ndarray,
    start: tuple[float, float],
    factors: tuple[float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """Return a rectangle of places of an image, each between its four nearest pixels.

    Args:
        image: See `resize`.
        start: The first place, (column, row), in pixels of the image.
        factors: From each place to the next one.
        size: (width, height): the number of places.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = _sides(image)
    # Whole pixels are cut off, so that the places keep their fractions.
    left, top = (
        min(max(0, int(first)), side - 1)
        for first, side in zip(start, (width, height), strict=True)
    )
    right = min(width, int(start[0] + factors[0] * (size[0] - 1)) + 2)
    bottom = min(height, int(start[1] + factors[1] * (size[1] - 1)) + 2)
    if max(height, width) <= _LARGEST_SIDE:
        left, top, right, bottom = 0, 0, width, height
    if isinstance(image, np.ndarray):
        pixels = image[top:bottom, left:right]
    else:
        pixels = np.asarray(image.crop((left, top, right, bottom)))
    grid = np.array([[factors[0], 0, start[0] - left], [0, factors[1], start[1] - top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, grid, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _sides(image: Image.Image | np.ndarray) -> tuple[int, int]:
    """Return height and width."""
    return image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)


@dataclass(frozen=True)
class _Cut:
    """The part of one axis that a window needs.

    Attributes:
        start: First source pixel.
        stop: Source pixel after the last.
        block: So many source pixels are averaged first.
        first: Where the window begins, in blocks from `start` on.
        extent: How far it reaches, in blocks.
        count: Resized pixels of the window.
    """

    start: int
    stop: int
    block: int
    first: float
    extent: float
    count: int

    @property
    def blocks(self) -> int:
        """Blocks of the cut; the last one may be smaller."""
        return -(-(self.stop - self.start) // self.block)

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, axis: Axis, full: int, first: int, count: int, reach: float) -> _Cut:
        """Return the cut for ``count`` of ``full`` resized pixels from ``first`` on."""
        factor = axis.size / axis.block / full
        block = max(1, int(factor / _PIXELS_LEFT))
        margin = reach * max(1.0, factor) + block
        begin = axis.start + first * factor
        end = min(axis.start + (first + count) * factor, axis.count)
        # Blocks are counted from the image's edge, so that every window has the same ones.
        start = max(0, math.floor((begin - margin) / block)) * block
        stop = min(axis.count, math.ceil((end + margin) / block) * block)
        cut = cls(start, stop, block, (begin - start) / block, (end - begin) / block, count)
        return cut._within_blocks()

    def _within_blocks(self) -> _Cut:
        """Return it with an end that rounding has not moved beyond the last block."""
        extent = self.extent
        while self.first + extent > self.blocks:
            extent = math.nextafter(extent, 0)
        return replace(self, extent=extent)


def _means(image: Image.Image | np.ndarray, rows: _Cut, columns: _Cut) -> np.ndarray:
    """Return the cut's pixels, the mean of each block, uint8 (rows.blocks, columns.blocks, 3)."""
    if isinstance(image, np.ndarray):
        pixels = image[rows.start : rows.stop, columns.start : columns.stop]
        return pixels if rows.block == columns.block == 1 else _block_means(pixels, rows, columns)
    box = (columns.start, rows.start, columns.stop, rows.stop)
    if rows.block == columns.block == 1:
        return np.asarray(image.crop(box))
    return np.asarray(image.reduce((columns.block, rows.block), box))


def _block_means(pixels: np.ndarray, rows: _Cut, columns: _Cut) -> np.ndarray:
    """Return the means of an array's blocks, those at its ends of what there is."""
    found = np.empty((rows.blocks, columns.blocks, 3), np.uint8)
    for down, to_row in _whole_blocks_and_rest(pixels.shape[0], rows.block):
        for across, to_column in _whole_blocks_and_rest(pixels.shape[1], columns.block):
            part = found[to_row, to_column]
            size = (part.shape[1], part.shape[0])
            part[:] = cv2.resize(pixels[down, across], size, interpolation=cv2.INTER_AREA)
    return found


def _whole_blocks_and_rest(count: int, block: int) -> Iterator[tuple[slice, slice]]:
    """Yield the pixels and the places of the whole blocks, then those of a smaller last one."""
    whole = count // block
    if whole:
        yield slice(0, whole * block), slice(0, whole)
    if whole * block < count:
        yield slice(whole * block, count), slice(whole, whole + 1)


def _convolved(pixels: np.ndarray, rows: _Cut, columns: _Cut, interpolation: str) -> np.ndarray:
    """Return the window, resized from the means by one kernel along each axis.

    Returns:
        uint8 (rows.count, columns.count, 3), own memory.
    """
    enlarged = rows.extent < rows.count or columns.extent < columns.count
    # cykooz_resizer 4.0.1 may read beyond its memory where a bicubic window of an enlarged image
    # ends just upon a column of the image; and small images keep the scores that they had.
    if cykooz_resizer is None or (enlarged and interpolation != "area"):
        right, bottom = columns.first + columns.extent, rows.first + rows.extent
        box = (columns.first, rows.first, right, bottom)
        size = (columns.count, rows.count)
        image = Image.fromarray(pixels)
        return np.array(image.resize(size, RESAMPLING[interpolation], box=box))
    kind = cykooz_resizer.PixelType.U8x3
    source = cykooz_resizer.ImageData(columns.blocks, rows.blocks, kind, pixels.tobytes())
    found = cykooz_resizer.ImageData(columns.count, rows.count, kind)
    box = cykooz_resizer.CropBox(columns.first, rows.first, columns.extent, rows.extent)
    kernel = cykooz_resizer.FilterType[_KERNELS[interpolation]]
    options = cykooz_resizer.ResizeOptions(
        cykooz_resizer.ResizeAlg.convolution(kernel), crop_box=box
    )
    # One for each call: it holds buffers, which threads must not share.
    cykooz_resizer.Resizer().resize(source, found, options)
    values = np.frombuffer(found.get_buffer(), np.uint8)
    return values.reshape(rows.count, columns.count, 3).copy()
