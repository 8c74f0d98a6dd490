from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from cnnkit.errors import ImageError
from cnnkit.images.color import MAX_PROFILE_BYTES, flatten, srgb_transform
from cnnkit.images.decode import decode
from cnnkit.images.translucency import decode_with_alpha
from tests.ugly_files import an_image, encode, gray_profile, plain


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_profile() -> bytes:
    """A profile with red and green swapped: nobody can overlook whether it was applied.

    It is sRGB's with the tags rXYZ and gXYZ renamed to each other.
    """
    data = srgb_profile()
    return data.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


def swapped() -> np.ndarray:
    return an_image()[..., [1, 0, 2]]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_profile_is_applied(image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    options = {"quality": 98, "subsampling": 0} if image_format == "JPEG" else options
    data = encode(plain(), image_format, icc_profile=wide_profile(), **options)
    assert np.abs(decode(data).astype(int) - swapped()).max() <= 8


def test_profile_is_applied_to_palettes_and_transparency() -> None:
    image = plain().quantize(256)
    expected = decode(encode(image, "PNG"))[..., [1, 0, 2]].astype(int)
    assert np.abs(decode(encode(image, "PNG", icc_profile=wide_profile())) - expected).max() <= 3
    image = plain().convert("RGBA")
    data = encode(image, "PNG", icc_profile=wide_profile())
    assert np.abs(decode(data).astype(int) - swapped()).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [
        srgb_profile(),
        b"",
        b"garbage" * 30,
        srgb_profile()[:200],
        bytes(MAX_PROFILE_BYTES + 1),
    ],
)
def test_srgb_and_broken_profiles_change_nothing(profile: bytes) -> None:
    assert srgb_transform(profile, "RGB") is None
    if len(profile) < 10_000:
        data = encode(plain(), "PNG", icc_profile=profile)
        assert np.array_equal(decode(data), an_image())


def test_profile_of_other_channels_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert srgb_transform(lab, "RGB") is None
    assert srgb_transform(wide_profile(), "CMYK") is None
    gray = plain().convert("L")
    data = encode(gray, "PNG", icc_profile=wide_profile())
    assert np.array_equal(decode(data), np.asarray(gray.convert("RGB")))


def test_unknown_mode_is_unsupported() -> None:
    hue = Image.new("HSV", (2, 2))
    assert flatten(hue)[0].mode == "RGB"
    with pytest.raises(ImageError, match="no known way to RGB") as caught:
        flatten(_Strange.of(hue))
    assert caught.value.kind == "unsupported"


class _Strange(Image.Image):
    """An image of a kind that Pillow can open but not convert."""

    @classmethod
    def of(cls, image: Image.Image) -> _Strange:
        strange = cls()
        strange.im, strange._mode, strange._size = image.im, image.mode, image.size
        return strange

    def convert(self, *arguments: object, **options: object) -> Image.Image:
        raise ValueError("conversion from HSV to RGB not supported")


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I", [[0, 255]], [0, 255]),
        ("I", [[0, 256]], [0, 1]),
        ("I", [[0, 70000]], [0, 255]),
        ("I", [[-5, 65535]], [0, 255]),
        ("F", [[0.0, 0.5]], [0, 128]),
        ("F", [[0.0, 255.0]], [0, 255]),
        ("F", [[-1.0, 2.0]], [0, 2]),
        ("F", [[float("nan"), float("inf")]], [0, 0]),
        ("F", [[0.0, 1e30]], [0, 255]),
    ],
)
def test_deep_gray(mode: str, values: list, expected: list[int]) -> None:
    dtype = np.int32 if mode == "I" else np.float32
    image, transform = flatten(Image.fromarray(np.array(values, dtype)))
    assert transform is None
    assert np.asarray(image)[0, :, 0].tolist() == expected


GRAYS = (0, 1, 20, 128, 200, 255)


def as_srgb(light: float) -> float:
    """Return the sRGB level of some light, both from 0 to 1 (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def test_the_profile_of_gray_is_followed_whatever_lies_beside_it() -> None:
    """Values that are light itself: 128 of 255 looks like 188 in sRGB."""
    profile = gray_profile(1.0)
    expected = np.array([round(255 * as_srgb(level / 255)) for level in GRAYS])
    assert expected[3] == 188
    row = np.array([GRAYS], np.uint8)
    solid = Image.fromarray(np.full_like(row, 255))
    with_alpha = Image.merge("LA", (Image.fromarray(row), solid))
    deep = Image.fromarray(row.astype(np.uint16) * 257)
    clear = Image.fromarray(row)
    clear.info["transparency"] = 77
    for image in (Image.fromarray(row), with_alpha, deep, clear):
        for form in ("PNG", "TIFF") if image is not clear else ("PNG",):
            pixels = decode(encode(image, form, icc_profile=profile))
            assert np.abs(pixels[0] - expected[:, None]).max() <= 1, (image.mode, form)


def test_a_profile_of_gray_keeps_the_fractions_of_16_bits() -> None:
    """In the dark 256 levels of light are far apart in sRGB."""
    between = np.array([[3.5, 4.0, 4.5]]) * 257
    deep = Image.fromarray(between.round().astype(np.uint16))
    found = decode(encode(deep, "PNG", icc_profile=gray_profile(1.0)))[0, :, 0]
    expected = [255 * as_srgb(value / 65535) for value in between[0]]
    assert expected[1] - expected[0] > 2 and expected[2] - expected[1] > 2
    assert np.abs(found - np.array(expected)).max() <= 1


def test_gray_with_transparency_keeps_its_profile_apart() -> None:
    alpha = np.array([[0, 100, 255]], np.uint8)
    gray = np.array([[50, 128, 128]], np.uint8)
    image = Image.merge("LA", (Image.fromarray(gray), Image.fromarray(alpha)))
    colors, found = decode_with_alpha(encode(image, "PNG", icc_profile=gray_profile(1.0)))
    assert found[..., 0].tolist() == alpha.tolist()
    assert np.abs(colors[0, :, 0].astype(int) - [255, 188, 188]).max() <= 1
    mixed = decode(encode(image, "PNG", icc_profile=gray_profile(1.0)))[0, :, 0]
    assert np.abs(mixed.astype(int) - [255, 255 - (255 - 188) * 100 / 255, 188]).max() <= 1


def test_a_clear_value_of_16_bits() -> None:
    deep = Image.fromarray(np.array([[1000, 40_000]], np.uint16))
    data = encode(deep, "PNG", transparency=1000)
    assert decode(data)[0, :, 0].tolist() == [255, 40_000 >> 8]
    colors, alpha = decode_with_alpha(data)
    assert alpha[0, :, 0].tolist() == [0, 255] and colors[0, :, 0].tolist() == [255, 156]
