"""JPEG 2000 files: what they were made of, their color profile, and what is wrong with them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import decode, decode_with_alpha
from cnnkit.images.color import MAX_PROFILE_BYTES
from tests.camera_raws import box
from tests.images.test_matrix_profiles import parametric, profile
from tests.ugly_files import an_image, encode, plain, translucent

LINEAR = profile(parametric(0, 1.0))


def with_colors(data: bytes, kind: int, content: bytes) -> bytes:
    """Return a file whose box of colors is another one."""
    start = data.index(b"jp2h") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    place = data.index(b"colr") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    colors = box(b"colr", struct.pack(">BBB", kind, 0, 0) + content)
    header = data[start + 8 : place] + colors + data[place + length : start + size]
    return data[:start] + box(b"jp2h", header) + data[start + size :]


@pytest.mark.parametrize("codes", [False, True])
def test_it_is_what_it_was_made_of(codes: bool) -> None:
    for image in (plain(), plain().convert("L"), translucent(), translucent().convert("LA")):
        data = encode(image, "JPEG2000", no_jp2=codes)
        np.testing.assert_array_equal(decode(data), decode(encode(image, "PNG")))
        for one, other in zip(
            decode_with_alpha(data), decode_with_alpha(encode(image, "PNG")), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_16_bits_are_reduced_to_8() -> None:
    gray = np.asarray(plain().convert("L")).astype(np.uint16) * 257
    data = encode(Image.fromarray(gray), "JPEG2000")
    np.testing.assert_array_equal(decode(data)[..., 0], gray // 257)


def test_its_profile_counts() -> None:
    data = encode(plain(), "JPEG2000")
    expected = decode(encode(plain(), "PNG", icc_profile=LINEAR))
    assert (expected != an_image()).any()
    for kind in (2, 3):
        np.testing.assert_array_equal(decode(with_colors(data, kind, LINEAR)), expected)
    for broken in (LINEAR[:50], LINEAR.ljust(MAX_PROFILE_BYTES + 1, b"\0")):
        np.testing.assert_array_equal(decode(with_colors(data, 2, broken)), an_image())


@pytest.mark.parametrize("codes", [False, True])
def test_cut_files_are_refused(codes: bool) -> None:
    data = encode(plain(), "JPEG2000", no_jp2=codes)
    for length in (20, 60, 100, 120, 200, len(data) // 2, len(data) - 30):
        with pytest.raises(ImageError) as caught:
            decode(data[:length])
        assert caught.value.kind == "truncated", length
