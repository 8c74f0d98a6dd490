"""Values of more than 8 bits keep their fractions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import decode, decode_fine
from tests.ugly_files import an_image, encode, exif, gray_profile, plain, png, png_chunk, tiff

random = np.random.default_rng(6)
COLOR = random.integers(0, 65536, (6, 5, 3), np.uint16)
ALPHA = random.integers(0, 65536, (6, 5, 1), np.uint16)
GRAY = COLOR[..., 1]


def png16(pixels: np.ndarray, extra: bytes = b"") -> bytes:
    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    deep = pixels.reshape(*pixels.shape[:2], -1).astype(">u2")
    return png(pixels.shape[1], pixels.shape[0], 16, kinds[deep.shape[2]], deep.tobytes(), extra)


def over_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha / 65535
    return values / 257 * share + 255 * (1 - share)


GRAY_3 = np.repeat(GRAY[..., None], 3, axis=2)
FILES = {
    "gray png": (png16(GRAY), GRAY_3 / 257),
    "color png": (png16(COLOR), COLOR / 257),
    "color and alpha png": (
        png16(np.concatenate([COLOR, ALPHA], 2)),
        over_white(COLOR, ALPHA),
    ),
    "gray and alpha png": (
        png16(np.concatenate([GRAY[..., None], ALPHA], 2)),
        over_white(GRAY_3, ALPHA),
    ),
    "binary ppm": (b"P6 5 6 # note\n65535\n" + COLOR.astype(">u2").tobytes(), COLOR / 257),
    "text ppm": (
        b"P3\n# note\n5 6\n1000\n" + b" ".join(b"%d" % (v % 1001) for v in COLOR.ravel()),
        COLOR % 1001 / 1000 * 255,
    ),
    "pgm": (b"P5 5 6 65535\n" + GRAY.astype(">u2").tobytes(), GRAY_3 / 257),
    "float tiff": (tiff(GRAY.astype("f4") / 65535), GRAY_3 / 257),
    "white is zero": (tiff(GRAY, photometric=0), 255 - GRAY_3 / 257),
}
for order in "<>":
    for compression in (1, 8):
        for planes in (False, True):
            data = tiff(COLOR, order=order, compression=compression, planes=planes)
            FILES[f"tiff {order} {compression} {planes}"] = (data, COLOR / 257)
    FILES[f"big tiff {order}"] = (tiff(COLOR, order=order, big=True, compression=8), COLOR / 257)
    FILES[f"gray tiff {order}"] = (tiff(GRAY, order=order), GRAY_3 / 257)


@pytest.mark.parametrize("name", FILES)
def test_every_bit_is_there(name: str) -> None:
    data, expected = FILES[name]
    found = decode_fine(data)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.001)
    assert np.abs(found - decode(data)).max() <= 1.5  # the same image


def test_turned_as_it_is_seen() -> None:
    chunk = png_chunk(b"eXIf", exif(6).tobytes()[6:])
    for pixels in (COLOR, GRAY, np.concatenate([GRAY[..., None], ALPHA], 2)):
        turned = decode_fine(png16(pixels, chunk))
        np.testing.assert_allclose(turned, np.rot90(decode_fine(png16(pixels)), -1), atol=0.001)


def test_a_clear_value() -> None:
    clear = COLOR[2, 3]
    extra = png_chunk(b"tRNS", clear.astype(">u2").tobytes())
    expected = COLOR / 257
    expected[2, 3] = 255
    np.testing.assert_allclose(decode_fine(png16(COLOR, extra)), expected, atol=0.001)
    assert decode(png16(COLOR, extra))[2, 3].tolist() == [255, 255, 255]
    extra = png_chunk(b"tRNS", int(GRAY[2, 3]).to_bytes(2, "big"))
    expected = GRAY_3 / 257
    expected[GRAY == GRAY[2, 3]] = 255
    np.testing.assert_allclose(decode_fine(png16(GRAY, extra)), expected, atol=0.001)


def test_a_profile_of_gray_is_followed() -> None:
    """Values that are light itself: 100.5 of 255 is level 168.0 of sRGB."""
    values = np.array([[100.5 * 257]]).round().astype(np.uint16)
    data = encode(Image.fromarray(values), "PNG", icc_profile=gray_profile(1.0))
    expected = 255 * (1.055 * (values[0, 0] / 65535) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(decode_fine(data)[0, 0], expected, atol=0.6)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "PPM", "TIFF", "WEBP"])
def test_8_bits_are_what_they_were(form: str) -> None:
    data = encode(plain(), form)
    np.testing.assert_array_equal(decode_fine(data), decode(data).astype(np.float32))


def test_premultiplied_and_cmyk_come_in_8_bits() -> None:
    four = np.concatenate([COLOR, ALPHA], 2)
    data = tiff(four, photometric=5)
    np.testing.assert_array_equal(decode_fine(data), decode(data))


def test_broken_files_are_refused_as_ever() -> None:
    with pytest.raises(ImageError, match="ends early"):
        decode_fine(png16(COLOR)[:60])
    with pytest.raises(ImageError, match="more than the limit"):
        decode_fine(png16(COLOR), max_pixels=29)
    assert an_image().dtype == np.uint8
