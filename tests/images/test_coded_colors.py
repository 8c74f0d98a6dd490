"""Colors coded by numbers: against the standards' own figures, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnkit.images import decode, image_pixels
from cnnkit.images.coded_colors import (
    BT709,
    BT2020,
    DISPLAY_P3,
    HLG,
    PAPER,
    PEAK,
    PQ,
    UNKNOWN,
    ColorCodes,
    _to_bt709,
    coded_colors,
    codes_in_boxes,
    compressed,
    light_of_pq,
    pq_of_light,
    scene_of_hlg,
)
from cnnkit.images.color import srgb_colors
from cnnkit.images.fine import decode_fine
from tests.images.test_matrix_profiles import parametric, profile
from tests.images.test_png import with_chunks
from tests.ugly_files import an_image, encode, heic, plain, png_chunk

SRGB = ColorCodes(BT709, 13)
# Linear sRGB to linear BT.2020 (ITU-R BT.2087-0, the matrix M2).
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def linear(pixels: np.ndarray) -> np.ndarray:
    """Return the light of sRGB levels, 0 to 1 (IEC 61966-2-1)."""
    values = np.asarray(pixels) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def as_pq(light: np.ndarray) -> np.ndarray:
    """Return the values of light in cd/m2 (ITU-R BT.2100, table 4)."""
    powers = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * powers) / (1 + 18.6875 * powers)) ** 78.84375


def as_hlg(light: np.ndarray) -> np.ndarray:
    """Return the values of what a display of 1,000 cd/m2 shows (ITU-R BT.2100, table 5)."""
    shown = light / 1000
    luminance = shown @ (0.2627, 0.6780, 0.0593)
    scene = shown / np.maximum(luminance[..., None] ** (0.2 / 1.2), 1e-9)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


CODED = {PQ: as_pq, HLG: as_hlg}


def coded(pixels: np.ndarray, transfer: int) -> np.ndarray:
    """Return sRGB pixels as BT.2020 in high dynamic range, white as light of 203 cd/m2."""
    light = linear(pixels) @ TO_BT2020.T * PAPER
    return np.rint(255 * CODED[transfer](light)).astype(np.uint8)


def test_the_curves_are_those_of_the_standards() -> None:
    # ITU-R BT.2408-7, table 1: gray of 18 %, white of 90 % and paper; and BT.2100, the maximum.
    light = light_of_pq(np.array([0.38, 0.58, 1.0]))
    np.testing.assert_allclose(light, (26, 203, 10_000), rtol=0.02)
    hlg = 1000 * scene_of_hlg(np.array([0.0, 0.38, 0.75, 1.0])) ** 1.2
    np.testing.assert_allclose(hlg, (0, 26, 203, 1000), rtol=0.02)
    assert scene_of_hlg(np.array([0.5]))[0] == pytest.approx(1 / 12)
    light = np.geomspace(1e-3, 1e4, 50)
    np.testing.assert_allclose(light_of_pq(pq_of_light(light)), light, rtol=1e-9)
    np.testing.assert_allclose(pq_of_light(light), as_pq(light), rtol=1e-9)


def test_bright_light_is_compressed_as_computed_by_hand() -> None:
    """ITU-R BT.2390-8, 5.4.1.

    Of 1,000 cd/m2 the value is 0.75183, of 203 0.58069: 0.77237 of it, and the knee 0.65856. At
    203 cd/m2, T = (0.77237 - 0.65856) / (1 - 0.65856) = 0.33333; the weights are 0.74074, 0.14815
    and 0.25926; and the value 0.48782 + 0.05058 + 0.20024 = 0.73865 of 0.75183, 0.55534.
    """
    assert compressed(np.array([PAPER]))[0] == pytest.approx(
        light_of_pq(np.array(0.55534)), rel=1e-3
    )
    light = np.linspace(0, PEAK, 400)
    found = compressed(light)
    knee = float(light_of_pq(0.65856 * pq_of_light(PEAK)))
    assert 87 < knee < 89
    np.testing.assert_allclose(found[light < knee], light[light < knee], atol=1e-6)
    assert (np.diff(found) > -1e-9).all()
    assert found[-1] == pytest.approx(PAPER)


def test_the_matrices_are_those_of_the_standards() -> None:
    np.testing.assert_allclose(_to_bt709(BT2020), np.linalg.inv(TO_BT2020), atol=1e-3)
    # W3C CSS Color 4, Display P3 to sRGB.
    first = (1.2249, -0.2249, 0.0)
    np.testing.assert_allclose(_to_bt709(DISPLAY_P3)[0], first, atol=2e-4)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@given(st.lists(st.tuples(*[st.integers(0, 170)] * 3), min_size=1, max_size=20))
def test_colors_up_to_the_knee_come_back(transfer: int, colors: list[tuple[int, ...]]) -> None:
    pixels = np.array(colors, np.uint8)[None]
    colors_of = coded_colors(ColorCodes(BT2020, transfer))
    assert colors_of is not None
    found = colors_of(coded(pixels, transfer)).astype(int)
    # A level of the code is several of sRGB where a color is dark beside another one.
    light = np.abs(linear(found) - linear(pixels))
    assert float(light.max()) < 0.02
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    assert np.abs(colors_of(coded(gray, transfer)).astype(int) - gray).max() <= 3


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_grays_rise_to_white_and_stay_gray(transfer: int) -> None:
    colors_of = coded_colors(ColorCodes(UNKNOWN, transfer))
    assert colors_of is not None
    grays = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    found = colors_of(grays)[0].astype(int)
    assert (np.diff(found[:, 0]) >= 0).all()
    assert np.ptp(found, axis=1).max() <= 1
    assert (found[0] == 0).all()
    assert (found[-1] >= 254).all()
    paper = colors_of(coded(np.full((1, 1, 3), 255, np.uint8), transfer))
    assert 225 <= paper.min() <= paper.max() <= 232


def test_large_images_are_converted_in_strips_alike() -> None:
    colors_of = coded_colors(ColorCodes(BT2020, HLG))
    assert colors_of is not None
    pixels = np.random.default_rng(0).integers(0, 256, (700, 500, 3), np.uint8)
    rows = [colors_of(pixels[row : row + 1]) for row in (0, 333, 699)]
    np.testing.assert_array_equal(colors_of(pixels)[[0, 333, 699]], np.concatenate(rows))
    assert colors_of(pixels[:0]).shape == (0, 500, 3)


def test_ordinary_codes_change_nothing_and_wide_ones_what_their_profile_does() -> None:
    for codes in (SRGB, ColorCodes(UNKNOWN, UNKNOWN), ColorCodes(BT709, 1), ColorCodes(0, 999)):
        assert coded_colors(codes) is None
    srgb = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    by_profile, by_codes = srgb_colors(profile(srgb)), coded_colors(ColorCodes(DISPLAY_P3, 13))
    assert by_profile is not None
    assert by_codes is not None
    apart = by_codes(an_image()).astype(int) - by_profile(an_image())
    assert np.abs(apart).max() <= 2


def codes_of(primaries: int, transfer: int, rest: bytes = b"\0\1") -> bytes:
    return png_chunk(b"cICP", bytes([primaries, transfer]) + rest)


def test_files_that_code_their_colors_are_shown_by_them() -> None:
    expected = coded_colors(ColorCodes(BT2020, PQ))
    assert expected is not None
    png, avif, photo = encode(plain(), "PNG"), encode(plain(), "AVIF"), heic("photo")
    for source in (avif, photo):
        assert codes_in_boxes(source) == SRGB
        found = decode(source.replace(b"nclx\0\1\0\r", b"nclx\0\x09\0\x10"))
        np.testing.assert_array_equal(found, expected(decode(source)))
    chunk = codes_of(BT2020, PQ)
    with_profile = encode(plain(), "PNG", icc_profile=profile(parametric(0, 1.8)))
    for source in (with_chunks(png, chunk), with_chunks(with_profile, chunk)):
        np.testing.assert_array_equal(decode(source), expected(decode(png)))
    for other in (codes_of(BT2020, PQ, b"\1\1"), codes_of(BT2020, PQ, b"\0\1\0"), codes_of(1, 13)):
        np.testing.assert_array_equal(decode(with_chunks(png, other)), decode(png))
    assert codes_in_boxes(b"") is codes_in_boxes(b"colrnclx\0\1\0") is None


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_every_mode_is_shown_by_the_codes(mode: str) -> None:
    image = plain().convert("L") if mode == "I;16" else plain().convert(mode)
    if mode == "I;16":
        wide = np.asarray(image).astype(np.uint16) * 257
        image = Image.fromarray(wide)
    source = encode(image, "PNG")
    expected = coded_colors(ColorCodes(BT2020, HLG))
    assert expected is not None
    bright = with_chunks(source, codes_of(BT2020, HLG))
    np.testing.assert_array_equal(image_pixels(bright), expected(image_pixels(source)))
    np.testing.assert_array_equal(decode_fine(bright), decode(bright).astype(np.float32))
