"""Resizes with antialiasing: Pillow's resampling, and a twice as fast form of it for photos.

Shrinking without antialiasing (what OpenCV's own bilinear and bicubic do) passes over pixels
and costs accuracy. Pillow widens the kernel by the factor of shrinking. `_shrink_fast` reaches
almost the same by a short filter before OpenCV's bicubic, in a quarter of the time of that
step: on 200 photos the scores of EfficientNet-Lite0 differ by 0.03 on average from Pillow's,
which is less than noise of one gray level does (0.14), against 0.11 for OpenCV's bilinear and
0.08 for its area. benchmarks/preparation.py measures it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    # Without antialiasing, by OpenCV: Darknet's networks were trained on images shrunk so.
    # Antialiased ones cost YOLOv3-tiny up to 0.15 of a score.
    "plain-bilinear": None,
}

# The fast form holds for these factors of shrinking: below there is nothing to filter, above
# Pillow averages whole blocks first.
_FAST_FACTORS = (1.02, 3.0)
# Up to these factors that many taps on each side of the center suffice.
_TAPS_EACH_SIDE = {2.0: 3, 2.5: 4, 3.0: 5}
_FACTORS_PER_UNIT = 100  # factors are rounded to this, so that few filters are made
_OPENCV_CUBIC = -0.75  # the kernel parameters of OpenCV's and Pillow's bicubic
_PILLOW_CUBIC = -0.5
# Pillow averages whole blocks first where more than this many pixels become one.
_REDUCING_GAP = 3.0
# OpenCV's warps count pixels in 16 bits.
_LARGEST_SIDE = 32_767 - 1
# How far left or above a cut may begin to find whole pixels on both grids.
_ALIGNMENT_SEARCH = 24


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


def resize(
    image: Image.Image | np.ndarray, window: ResampleWindow, interpolation: str
) -> np.ndarray:
    """Return one rectangle of the resized image, computed from its own pixels only.

    Args:
        image: Mode RGB, or uint8 (height, width, 3).
        window: The sizes and the rectangle.
        interpolation: A key of `RESAMPLING`; all but "area" and "plain-bilinear" antialias
            when shrinking.

    Returns:
        The rectangle, uint8 (window.height, window.width, 3).
    """
    if interpolation == "plain-bilinear":
        return _resize_plain(image, window)
    height, width = _sides(image)
    factor_y, factor_x = height / window.full[0], width / window.full[1]
    low, high = _FAST_FACTORS
    if (
        interpolation == "bicubic"
        and low < min(factor_y, factor_x)
        and max(factor_y, factor_x) <= high
    ):
        return _shrink_fast(image, window)
    box = (
        window.left * factor_x,
        window.top * factor_y,
        min((window.left + window.width) * factor_x, width),
        min((window.top + window.height) * factor_y, height),
    )
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    size = (window.width, window.height)
    resized = image.resize(size, RESAMPLING[interpolation], box=box, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized)


def _resize_plain(image: Image.Image | np.ndarray, window: ResampleWindow) -> np.ndarray:
    """Return the rectangle by bilinear interpolation between the four nearest pixels.

    The corner pixels of both grids lie on each other, as in Darknet.

    Returns:
        uint8 (window.height, window.width, 3).
    """
    height, width = _sides(image)
    rows, columns = window.full
    across, down = (width - 1) / max(1, columns - 1), (height - 1) / max(1, rows - 1)
    found = np.empty((window.height, window.width, 3), np.uint8)
    for top, bottom in _bands(window.height, down):
        for left, right in _bands(window.width, across):
            start = ((window.left + left) * across, (window.top + top) * down)
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
        min(int(first), side - 1) for first, side in zip(start, (width, height), strict=True)
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


def _shrink_fast(image: Image.Image | np.ndarray, window: ResampleWindow) -> np.ndarray:
    """Return the rectangle by a short filter and OpenCV's bicubic, uint8 (height, width, 3)."""
    height, width = _sides(image)
    rows = _Cut.of(height, window.full[0], window.top, window.height)
    columns = _Cut.of(width, window.full[1], window.left, window.width)
    if isinstance(image, np.ndarray):
        pixels = image[rows.start : rows.stop, columns.start : columns.stop]
    else:
        pixels = np.asarray(image.crop((columns.start, rows.start, columns.stop, rows.stop)))
    kernel_x, kernel_y = shrinking_filter(columns.factor), shrinking_filter(rows.factor)
    smooth = cv2.sepFilter2D(pixels, -1, kernel_x, kernel_y, borderType=cv2.BORDER_REPLICATE)
    # Without a size OpenCV keeps the exact factors, so that the grid is the whole image's.
    fx, fy = 1 / columns.factor, 1 / rows.factor
    resized = cv2.resize(smooth, None, fx=fx, fy=fy, interpolation=cv2.INTER_CUBIC)
    return resized[
        rows.skip : rows.skip + window.height, columns.skip : columns.skip + window.width
    ]


@dataclass(frozen=True)
class _Cut:
    """The part of one axis that a window needs, beginning where both grids meet.

    Attributes:
        start: First source pixel.
        stop: Source pixel after the last.
        skip: Resized pixels between `start` and the window.
        factor: Source pixels per resized pixel.
    """

    start: int
    stop: int
    skip: int
    factor: float

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, size: int, full: int, first: int, count: int) -> _Cut:
        """Return the cut for ``count`` of ``full`` resized pixels from ``first`` on."""
        factor = size / full
        margin = _taps_each_side(factor) + 3  # what the filter and the bicubic kernel reach beyond
        nearest = max(0, math.floor(first - margin / factor))
        begins = range(max(0, nearest - _ALIGNMENT_SEARCH), nearest + 1)
        begin = min(begins, key=lambda at: abs(at * factor - round(at * factor)))
        stop = min(size, math.ceil((first + count) * factor) + margin)
        return cls(round(begin * factor), stop, first - begin, factor)


def shrinking_filter(factor: float) -> np.ndarray:
    """Return the filter that, before OpenCV's bicubic, gives an antialiased bicubic.

    Args:
        factor: Source pixels per resized pixel, 1 to 3.

    Returns:
        float64 (7,), (9,) or (11,), symmetric, sum 1.
    """
    return _shrinking_filter(round(factor * _FACTORS_PER_UNIT))


def _taps_each_side(factor: float) -> int:
    return next(taps for most, taps in _TAPS_EACH_SIDE.items() if factor <= most)


@lru_cache(maxsize=256)
def _shrinking_filter(factor_in_steps: int) -> np.ndarray:
    """Solve for the taps: least squares over 16 positions of the resized pixel.

    Bicubic interpolation of the filtered image weighs source pixel ``x`` with
    ``sum_j taps[j] * cubic(x - j)``; the wanted weight is ``cubic(x / factor)``.
    """
    factor = factor_in_steps / _FACTORS_PER_UNIT
    each_side = _taps_each_side(factor)
    reach = 2 * each_side + 1
    offsets = np.arange(-reach, reach + 1)[None, :] + np.arange(16)[:, None] / 16  # (16, 15-23)
    wanted = _cubic(offsets / factor, _PILLOW_CUBIC)
    wanted /= wanted.sum(axis=1, keepdims=True)
    terms = [_cubic(offsets, _OPENCV_CUBIC)]
    for j in range(1, each_side + 1):
        terms.append(_cubic(offsets - j, _OPENCV_CUBIC) + _cubic(offsets + j, _OPENCV_CUBIC))
    matrix = np.stack([term.ravel() for term in terms], axis=1)  # (240, 4) to (368, 6)
    half = np.linalg.lstsq(matrix, wanted.ravel(), rcond=None)[0]
    taps = np.concatenate([half[:0:-1], half])
    taps /= taps.sum()
    taps.flags.writeable = False
    return taps


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Return the cubic convolution kernel (Keys, 1981) at ``x`` pixels from the center."""
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
