"""HEIC files, made of gradient.png by another encoder; heif-convert shows `turned` the same way."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from cnnkit.errors import ImageError
from cnnkit.images import decode, heic
from cnnkit.images.decode import size_and_orientation
from tests.ugly_files import HEIC_FILES
from tests.ugly_files import heic as heic_file

ORIGINAL = np.asarray(Image.open(HEIC_FILES / "gradient.png")).astype(int)  # (48, 64, 3)


def error_of(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value


def in_gray() -> np.ndarray:
    gray = np.asarray(Image.fromarray(ORIGINAL.astype(np.uint8)).convert("L"))
    return np.repeat(gray[..., None], 3, axis=2).astype(int)


def over_white() -> np.ndarray:
    """It is clear at the left and solid at the right."""
    share = np.round(np.arange(64) * 255 / 63)[None, :, None] / 255
    return ORIGINAL * share + 255 * (1 - share)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo", ORIGINAL),
        ("ten-bits", ORIGINAL),
        ("two", ORIGINAL),  # the main image is the second one
        ("gray", in_gray()),
        ("clear", over_white()),
    ],
)
def test_a_photo_is_what_it_was_made_of(name: str, expected: np.ndarray) -> None:
    pixels = decode(heic_file(name))
    assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels - expected).mean() < 2.5


def test_a_turned_photo_is_turned_once() -> None:
    """Its container says a quarter to the left, and its EXIF data a quarter to the right."""
    pixels = decode(heic_file("turned"))
    assert pixels.shape == (64, 48, 3)
    assert np.abs(pixels - np.rot90(ORIGINAL)).mean() < 2
    assert size_and_orientation(str(HEIC_FILES / "turned.heic")) == ((64, 48), 1)


def test_its_color_profile_counts() -> None:
    opened = heic.open_heic(heic_file("adobe-rgb"))
    profile = ImageCms.ImageCmsProfile(BytesIO(opened.info["icc_profile"]))
    shown = ImageCms.profileToProfile(
        Image.fromarray(ORIGINAL.astype(np.uint8)), profile, ImageCms.createProfile("sRGB")
    )
    pixels = decode(heic_file("adobe-rgb"))
    assert np.abs(pixels - np.asarray(shown).astype(int)).mean() < 2
    assert np.abs(pixels - ORIGINAL).mean() > 8


def test_a_file_that_decodes_to_another_size_than_it_says_is_refused() -> None:
    data = bytearray(heic_file("photo"))
    width = data.index(b"clap") + 4  # of the part of the coded 64 x 64 pixels that is shown
    assert data[width : width + 4] == bytes([0, 0, 0, 64])
    data[width + 3] = 32
    assert decode(bytes(data)).shape == (48, 32, 3)
    data[width + 3] = 133
    error = error_of(bytes(data))
    assert error.kind == "corrupt"
    assert "decodes to 64 x 48 pixels, but its header says 133 x 48" in error.message


def test_broken_data_is_no_black_image_where_pillow_may_load_truncated_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert decode(heic_file("photo")).any()
    data = bytearray(heic_file("photo"))
    begin = data.index(b"mdat") + 4
    data[begin:] = bytes(255 - byte for byte in data[begin:])
    assert error_of(bytes(data)).kind in ("corrupt", "truncated")


def test_without_its_decoder_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    heic._decoder.cache_clear()
    error = error_of(heic_file("photo"))
    assert error.kind == "unsupported"
    assert "pip install 'cnnkit[heic]'" in error.message and "convert it to JPEG" in error.message


@given(
    st.sampled_from(["photo", "turned", "clear", "two"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.5, 1),
)
def test_broken_files_give_pixels_or_an_error(
    name: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(heic_file(name))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        pixels = decode(bytes(data[: round(kept * len(data))]), max_pixels=10_000)
    except ImageError as error:
        assert "\n" not in error.message
    else:
        assert pixels.ndim == 3 and pixels.size <= 30_000
