"""Converts pixels to sRGB by profiles that consist of three curves and a matrix.

Nearly all profiles of photos are such ones (Display P3, Adobe RGB, those of cameras and screens).
Little CMS takes more than twice as long for them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import ImageCms

_TAG_COUNT_AT, _TAGS_AT, _TAG_BYTES = 128, 132, 12
# Parts of profiles that take the place of curves and matrix, in any of their intents.
_TABLES = frozenset((b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2", b"D2B3"))
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
# Linear values are told apart in so many steps: at black, of 13 per level of sRGB.
STEPS = 1 << 14
# One strip of an image at a time: intermediate values take 32 bytes per pixel. Each waits for
# Python's lock some times, so they are not smaller.
_STRIP_PIXELS = 1 << 18
# A transform of one's own must give what Little CMS gives, up to its rounding.
_SAME_LEVELS = 1
# Numbers of a parametric curve by its kind (ICC.1:2022, 10.18).
_PARAMETERS = (1, 3, 4, 5, 7)

# Gives pixels, uint8 (height, width, 3), RGB, in other colors.
Colors = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MatrixColors:
    """The way from a profile's colors to sRGB.

    Attributes:
        curves: float32 (256, 1, 3): the linear value of each level of red, green and blue.
        matrix: float32 (3, 3), from linear RGB to linear sRGB in `STEPS`.
    """

    curves: np.ndarray
    matrix: np.ndarray

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels in sRGB.

        Args:
            pixels: uint8 (height, width, 3), RGB.

        Returns:
            uint8 of the same shape.
        """
        found = np.empty(pixels.shape, np.uint8)
        rows = max(1, _STRIP_PIXELS // max(1, pixels.shape[1]))
        for top in range(0, len(pixels), rows):
            linear = cv2.transform(self.light(pixels[top : top + rows]), self.matrix)
            steps = (np.clip(linear, 0, STEPS, out=linear) + 0.5).astype(np.uint16)
            np.take(_LEVELS, steps, out=found[top : top + rows], mode="clip")
        return found

    def light(self, pixels: np.ndarray) -> np.ndarray:
        """Return the linear values of pixels, float32 of the same shape."""
        return np.asarray(cv2.LUT(pixels, self.curves))


def matrix_colors(
    profile: bytes, by_little_cms: Callable[[np.ndarray], np.ndarray]
) -> MatrixColors | None:
    """Return the transform of a profile; None where it has another form.

    Args:
        profile: The ICC profile, of RGB.
        by_little_cms: Converts pixels as Little CMS does; the transform must give the same.
    """
    try:
        with np.errstate(all="ignore"):
            curves = _curves(profile)
            opened = ImageCms.ImageCmsProfile(BytesIO(profile))
            matrix = np.linalg.solve(_to_xyz(_srgb()), _to_xyz(opened))
    except (LookupError, ValueError, TypeError, struct.error, OSError, np.linalg.LinAlgError):
        return None
    if not (np.isfinite(curves).all() and np.isfinite(matrix).all()):
        return None
    found = MatrixColors(curves, (matrix * STEPS).astype(np.float32))
    chart = _chart()
    apart = np.abs(found(chart).astype(np.int16) - by_little_cms(chart))
    return found if int(apart.max()) <= _SAME_LEVELS else None


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _to_xyz(profile: ImageCms.ImageCmsProfile) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ, float64 (3, 3).

    Raises:
        ValueError: The profile has none.
    """
    core = profile.profile
    colorants = (core.red_colorant, core.green_colorant, core.blue_colorant)
    return np.array([one[0] for one in colorants if one is not None]).reshape(3, 3).T


def _levels() -> np.ndarray:
    """Return the sRGB level of each linear value, uint8 (`STEPS` + 1,) (IEC 61966-2-1)."""
    linear = np.arange(STEPS + 1) / STEPS
    bent = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.rint(255 * np.where(linear <= 0.0031308, 12.92 * linear, bent)).astype(np.uint8)


_LEVELS = _levels()


def _chart() -> np.ndarray:
    """Return colors of all kinds, uint8 (289, 17, 3), and every gray beside them."""
    levels = np.linspace(0, 255, 17).astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 17, 3)
    grays = np.repeat(np.arange(255, dtype=np.uint8)[:, None], 3, axis=1).reshape(-1, 17, 3)
    return np.concatenate([colors, grays])


def _curves(profile: bytes) -> np.ndarray:
    """Return the linear value of each level, float32 (256, 1, 3).

    Raises:
        KeyError: The profile has tables instead of curves.
        ValueError, struct.error: A curve is of no known kind, or broken.
    """
    (count,) = struct.unpack_from(">I", profile, _TAG_COUNT_AT)
    places = {}
    for number in range(min(count, 256)):
        name, start, size = struct.unpack_from(">4sII", profile, _TAGS_AT + _TAG_BYTES * number)
        places[name] = profile[start : start + size]
    if not _TABLES.isdisjoint(places):
        raise KeyError("tables")
    curves = np.stack([_curve(places[name]) for name in _CURVES], axis=-1)
    return np.ascontiguousarray(curves[:, None], np.float32)


def _curve(tag: bytes) -> np.ndarray:
    """Return the value of a curve at each level, float64 (256,) (ICC.1:2022, 10.6 and 10.18).

    Raises:
        ValueError, struct.error: It is of no known kind, or broken.
    """
    levels = np.arange(256) / 255
    if tag[:4] == b"para":
        kind = struct.unpack_from(">H", tag, 8)[0]
        if kind >= len(_PARAMETERS):
            raise ValueError("no such curve")
        numbers = np.frombuffer(tag, ">i4", _PARAMETERS[kind], 12) / 65536
        return _parametric(levels, kind, [float(number) for number in numbers])
    if tag[:4] != b"curv":
        raise ValueError("no curve")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return levels
    points = np.frombuffer(tag, ">u2", count, 12)
    if count == 1:
        return levels ** (float(points[0]) / 256)
    return np.interp(levels * (count - 1), np.arange(count), points / 65535)


def _parametric(x: np.ndarray, kind: int, numbers: list[float]) -> np.ndarray:
    """Return a parametric curve's values: a power, and below its bend a line."""
    gamma, a, b, c, d, e, f = [*numbers, *([0.0] * (7 - len(numbers)))]
    if kind == 0:
        return x**gamma
    power = np.maximum(a * x + b, 0) ** gamma
    if kind in (1, 2):  # without a line: the third number is what is added
        return np.where(a * x + b >= 0, power, 0.0) + (c if kind == 2 else 0.0)
    return np.where(x >= d, power + (e if kind == 4 else 0.0), c * x + (f if kind == 4 else 0.0))
