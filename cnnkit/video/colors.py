"""The colors of decoded frames as players show them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit.images.coded_colors import BT2020, UNKNOWN, ColorCodes, coded_colors
from cnnkit.images.matrix_profiles import Colors

# Numbers of the matrices from brightness and color differences to RGB, as libswscale has them.
_MATRIX_BT709, _MATRIX_BT2020 = 1, 9
# From so many pixels on, players take the matrix of high definition where a file does not say it.
_HIGH_WIDTH, _HIGH_HEIGHT = 1280, 577
# Flags of libswscale: bilinear, accurate rounding, and chroma at full width. Without the last two
# it rounds down, by one or two levels. They take three times the time, which is worth it only where
# such a level is a step of light.
_EXACT = 0x2 | 0x40000 | 0x2000


def frame_pixels(decoded: Any) -> tuple[np.ndarray, Colors | None]:
    """Return the pixels of a frame, and what gives them in sRGB.

    Args:
        decoded: An `av.VideoFrame`.

    Returns:
        uint8 (height, width, 3), RGB, as stored; and None if they are in sRGB.
    """
    codes = ColorCodes(_code(decoded, "color_primaries"), _code(decoded, "color_trc"))
    options = {"interpolation": _EXACT} if codes.is_bright else {}
    pixels = decoded.to_ndarray(format="rgb24", src_colorspace=_matrix(decoded, codes), **options)
    return pixels, coded_colors(codes)


def _matrix(decoded: Any, codes: ColorCodes) -> int | None:
    """Return the matrix of a frame that does not say it; None: what it says, or BT.601."""
    if _code(decoded, "colorspace") != UNKNOWN:
        return None
    if codes.primaries == BT2020:
        return _MATRIX_BT2020
    is_high = decoded.width >= _HIGH_WIDTH or decoded.height >= _HIGH_HEIGHT
    return _MATRIX_BT709 if is_high else None


def _code(decoded: Any, name: str) -> int:
    return int(getattr(decoded, name, UNKNOWN))
