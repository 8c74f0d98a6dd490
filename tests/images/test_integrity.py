from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFile

from cnnkit.errors import ImageError
from cnnkit.images.decode import decode
from cnnkit.images.integrity import check_png, ends_early
from tests.ugly_files import encode, heic, plain, png, png_chunk

NOISE = Image.fromarray(np.random.default_rng(4).integers(0, 256, (24, 32, 3), np.uint8))
FORMATS = {
    "JPEG": encode(NOISE, "JPEG"),
    "PNG": encode(NOISE, "PNG"),
    "GIF": encode(NOISE.quantize(16), "GIF"),
    "WebP": encode(NOISE, "WEBP"),
    "BMP": encode(NOISE, "BMP"),
    "TIFF": encode(NOISE, "TIFF"),
    "AVIF": encode(NOISE, "AVIF"),
    "HEIC": heic("photo"),
    "JPEG 2000": encode(NOISE, "JPEG2000"),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_ends_early(name: str) -> None:
    data = FORMATS[name]
    assert not ends_early(data, name)
    for length in (20, len(data) // 3, len(data) // 2, len(data) - 20):
        assert ends_early(data[:length], name), length


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_program_that_lets_pillow_fill_up_images_changes_nothing(name: str, monkeypatch) -> None:
    """``LOAD_TRUNCATED_IMAGES = True`` is in many programs: half an image was classified."""
    data = FORMATS[name]
    pixels = decode(data)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    np.testing.assert_array_equal(decode(data), pixels)
    for length in (len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(ImageError) as refused:
            decode(data[:length])
        assert refused.value.kind == "truncated", length


def test_the_first_frame_of_a_gif_is_whole_or_not(monkeypatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    other = [NOISE.rotate(90).quantize(16)]
    data = encode(NOISE.quantize(16), "GIF", save_all=True, append_images=other, duration=9)
    first = decode(data)
    # What follows the first frame is not read, whatever it is.
    np.testing.assert_array_equal(decode(data[: len(data) * 2 // 3] + b"anything"), first)
    with pytest.raises(ImageError, match="the GIF file ends early"):
        decode(data[: len(data) // 3])


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"BMP", "AVIF", "HEIC"}))
def test_a_few_bytes_after_the_end_are_no_matter(name: str) -> None:
    assert not ends_early(FORMATS[name] + bytes(3), name)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_tiff_strips_are_looked_up(compression: str, big_endian: bool) -> None:
    data = encode(NOISE, "TIFF", compression=compression, big_tiff=False)
    if big_endian:
        data = encode(NOISE.convert("I;16B"), "TIFF") if compression == "raw" else data
    assert not ends_early(data, "TIFF")
    assert ends_early(data[:-1], "TIFF") or compression != "raw"
    assert ends_early(data[: len(data) * 2 // 3], "TIFF")


def test_checksum_of_png_pixels() -> None:
    data = bytearray(encode(plain(), "PNG"))
    check_png(bytes(data))
    data[80] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        check_png(bytes(data))


def test_checksum_of_other_chunks_is_no_matter() -> None:
    comment = bytearray(png_chunk(b"tEXt", b"Comment\0hello"))
    comment[-1] ^= 1
    check_png(png(1, 1, 8, 2, bytes(3), bytes(comment)))


@pytest.mark.parametrize("length", [0, 8, 20, 60, 100, 1000])
def test_cut_off_chunks_are_left_to_the_decoder(length: int) -> None:
    check_png(encode(plain(), "PNG")[:length])
