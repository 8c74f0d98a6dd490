"""Colors that a file codes by two numbers: wide gamuts, and high dynamic range (HDR).

Videos and the photos of some cameras say with the numbers of ITU-T H.273 what their values mean.
Shown as sRGB, those of high dynamic range are dull and dark: their white is a middle gray.

High dynamic range is brought to sRGB as ITU-R BT.2408 and BT.2390 describe it: light of 203 cd/m2,
the white of paper, becomes nearly white; what is darker than 88 cd/m2 keeps its light; what
is brighter, up to 1,000 cd/m2, is compressed by the largest of the three colors, which keeps the
hue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from cnnkit.images.matrix_profiles import STEPS, Colors, MatrixColors

# Under this name an opened image has its codes.
CODES = "color_codes"
# What describes an AVIF or HEIC file is within so many bytes of its start.
_BOXES_BYTES = 1 << 18

# Codes of ITU-T H.273, tables 2 and 3.
UNKNOWN, BT709, BT2020, DISPLAY_P3 = 2, 1, 9, 12
PQ, HLG = 16, 18

# Chromaticities x, y of red, green, blue (H.273, table 2); the white of all is D65.
_CHROMATICITIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_WHITE = (0.3127, 0.3290)

# Light in cd/m2: of the brightest color that is told apart, and of white paper (ITU-R BT.2408).
PEAK, PAPER = 1000.0, 203.0
# Perceptual quantizer (ITU-R BT.2100-2, table 4).
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_MOST_LIGHT = 10_000.0
# Hybrid log-gamma (ITU-R BT.2100-2, table 5); the gamma of a display of 1,000 cd/m2.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_SYSTEM_GAMMA = 1.2


class ColorCodes(NamedTuple):
    """What the values of an image mean.

    Attributes:
        primaries: Which red, green, and blue (H.273, table 2).
        transfer: How values become light (H.273, table 3).
    """

    primaries: int
    transfer: int

    @property
    def is_bright(self) -> bool:
        """Whether the range is a high one."""
        return self.transfer in (PQ, HLG)


@lru_cache(maxsize=16)
def coded_colors(codes: ColorCodes) -> Colors | None:
    """Return what gives pixels of some codes in sRGB, or None if nothing need be done.

    Unknown codes are those of sRGB. The curves of ordinary video are shown as that of sRGB is, as
    players do.

    Args:
        codes: The codes; of a high range without known primaries, those of BT.2020 are meant.
    """
    if codes.is_bright:
        primaries = codes.primaries if codes.primaries in _CHROMATICITIES else BT2020
        return _bright(primaries, codes.transfer)
    if codes.primaries == BT709 or codes.primaries not in _CHROMATICITIES:
        return None
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return MatrixColors(_curves(linear), _steps(_to_bt709(codes.primaries)))


def _bright(primaries: int, transfer: int) -> BrightColors:
    values = np.arange(256) / 255
    if transfer == PQ:
        linear = np.minimum(light_of_pq(values) / PEAK, 1.0)
        luminance = None
    else:
        linear = scene_of_hlg(values)
        luminance = _to_xyz(primaries)[1:2].astype(np.float32)
    return BrightColors(_curves(linear), _steps(_to_bt709(primaries)), luminance, _gains())


@dataclass(frozen=True)
class BrightColors(MatrixColors):
    """The way from colors of high dynamic range to sRGB.

    Its curves give the light of each level, 1 for `PEAK`; or that of the scene, 0 to 1.

    Attributes:
        luminance: float32 (1, 3): the share of each color in the luminance, by which the light of a
            scene becomes that of a display; None: it is that already.
        gains: float32 (`STEPS` + 1,): by what a color is multiplied, by the square root of the
            largest of its three numbers, 0 to 1.
    """

    luminance: np.ndarray | None
    gains: np.ndarray

    def light(self, pixels: np.ndarray) -> np.ndarray:
        """Return the linear values of pixels, 1 for `PAPER`, float32 of the same shape."""
        light = super().light(pixels)
        if self.luminance is not None:
            shown = cv2.transform(light, self.luminance).reshape(*light.shape[:2], 1)
            light *= np.power(shown, np.float32(_SYSTEM_GAMMA - 1))
        brightest = np.sqrt(light.max(axis=2))
        step = (brightest * STEPS + 0.5).astype(np.uint16)
        light *= np.take(self.gains, step, mode="clip")[..., None]
        return light


def light_of_pq(values: np.ndarray) -> np.ndarray:
    """Return the light of values of the perceptual quantizer (ITU-R BT.2100-2, table 4).

    Args:
        values: float, 0 to 1.

    Returns:
        cd/m2, 0 to 10,000.
    """
    powers = np.power(values, 1 / _M2)
    bent = np.maximum(powers - _C1, 0) / (_C2 - _C3 * powers)
    return np.asarray(_MOST_LIGHT * np.power(bent, 1 / _M1))


def pq_of_light(light: np.ndarray | float) -> np.ndarray:
    """Return the values of light in cd/m2: the inverse of `light_of_pq`."""
    powers = np.power(np.asarray(light) / _MOST_LIGHT, _M1)
    return np.asarray(np.power((_C1 + _C2 * powers) / (1 + _C3 * powers), _M2))


def scene_of_hlg(values: np.ndarray) -> np.ndarray:
    """Return the light of a scene, 0 to 1, of values of hybrid log-gamma, 0 to 1.

    The inverse of the curve of ITU-R BT.2100-2, table 5.
    """
    bright = (np.exp((np.maximum(values, 0.5) - _C) / _A) + _B) / 12
    return np.where(values <= 0.5, np.square(values) / 3, bright)


def compressed(light: np.ndarray) -> np.ndarray:
    """Return light of up to `PEAK` as a display of up to `PAPER` shows it, in cd/m2.

    The curve of ITU-R BT.2390-8, 5.4.1, between two displays whose black is 0.
    """
    top = float(pq_of_light(PEAK))
    white = float(pq_of_light(PAPER)) / top
    knee = 1.5 * white - 0.5
    values = pq_of_light(light) / top
    t = (values - knee) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    bent += (-2 * t**3 + 3 * t**2) * white
    return light_of_pq(np.where(values < knee, values, bent) * top)


def _gains() -> np.ndarray:
    """Return `BrightColors.gains`."""
    brightest = np.square(np.maximum(np.arange(STEPS + 1), 1) / STEPS)  # of none, as of the least
    return (compressed(brightest * PEAK) / (brightest * PAPER)).astype(np.float32)


def _to_xyz(primaries: int) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ, float64 (3, 3) (SMPTE RP 177)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries]]).T
    x, y = _WHITE
    white = np.array([x / y, 1, (1 - x - y) / y])
    return np.asarray(columns * np.linalg.solve(columns, white))


def _to_bt709(primaries: int) -> np.ndarray:
    return np.linalg.solve(_to_xyz(BT709), _to_xyz(primaries))


def _steps(matrix: np.ndarray) -> np.ndarray:
    return (matrix * STEPS).astype(np.float32)


def _curves(linear: np.ndarray) -> np.ndarray:
    """Return a curve for each of three colors as `cv2.LUT` takes it, float32 (256, 1, 3)."""
    return np.ascontiguousarray(np.repeat(linear[:, None, None], 3, axis=2), np.float32)


def codes_in_boxes(source: bytes) -> ColorCodes | None:
    """Return the codes of an AVIF or HEIC file, None where it has none.

    They are in a box ``colr`` of the kind ``nclx`` (ISO/IEC 14496-12, 12.1.5).

    Args:
        source: The file; its boxes are in its first part.
    """
    place = source.find(b"colrnclx", 0, _BOXES_BYTES)
    numbers = source[place + 8 : place + 12]
    if place < 0 or len(numbers) < 4:
        return None
    return ColorCodes(int.from_bytes(numbers[:2], "big"), int.from_bytes(numbers[2:], "big"))
