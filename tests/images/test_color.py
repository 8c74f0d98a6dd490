from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from cnnkit.errors import ImageError
from cnnkit.images.color import MAX_PROFILE_BYTES, flatten, srgb_transform
from cnnkit.images.decode import decode
from tests.ugly_files import encode, picture, plain


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_profile() -> bytes:
    """A profile with red and green swapped: nobody can overlook whether it was applied.

    It is sRGB's with the tags rXYZ and gXYZ renamed to each other.
    """
    data = srgb_profile()
    return data.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


def swapped() -> np.ndarray:
    return picture()[..., [1, 0, 2]]


@pytest.mark.parametrize("picture_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_profile_is_applied(picture_format: str) -> None:
    options = {"lossless": True} if picture_format == "WEBP" else {}
    options = {"quality": 98, "subsampling": 0} if picture_format == "JPEG" else options
    data = encode(plain(), picture_format, icc_profile=wide_profile(), **options)
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
        assert np.array_equal(decode(data), picture())


def test_profile_of_other_channels_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert srgb_transform(lab, "RGB") is None
    assert srgb_transform(wide_profile(), "CMYK") is None
    grey = plain().convert("L")
    data = encode(grey, "PNG", icc_profile=wide_profile())
    assert np.array_equal(decode(data), np.asarray(grey.convert("RGB")))


def test_unknown_mode_is_unsupported() -> None:
    hue = Image.new("HSV", (2, 2))
    assert flatten(hue)[0].mode == "RGB"
    with pytest.raises(ImageError, match="no known way to RGB") as caught:
        flatten(_Strange.of(hue))
    assert caught.value.kind == "unsupported"


class _Strange(Image.Image):
    """A picture of a kind that Pillow can open but not convert."""

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
def test_deep_grey(mode: str, values: list, expected: list[int]) -> None:
    dtype = np.int32 if mode == "I" else np.float32
    image, transform = flatten(Image.fromarray(np.array(values, dtype)))
    assert transform is None
    assert np.asarray(image)[0, :, 0].tolist() == expected
