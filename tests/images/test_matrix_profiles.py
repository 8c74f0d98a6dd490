from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from cnnkit.images.color import srgb_colors
from cnnkit.images.decode import decode
from cnnkit.images.matrix_profiles import MatrixColors, matrix_colors
from tests.ugly_files import an_image, encode, plain

# Display P3's red, green and blue as XYZ under D50.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def fixed(value: float) -> int:
    return round(value * 65536)


def parametric(kind: int, *numbers: float) -> bytes:
    return struct.pack(f">4sIHH{len(numbers)}i", b"para", 0, kind, 0, *map(fixed, numbers))


def table(*points: int) -> bytes:
    return struct.pack(f">4sII{len(points)}H", b"curv", 0, len(points), *points)


def profile(curve: bytes, colorants: tuple[tuple[float, ...], ...] = P3, **more: bytes) -> bytes:
    """An ICC profile of a screen with one curve for all three channels."""
    tags = {
        "desc": struct.pack(">4sI", b"mluc", 0)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28)
        + "x".encode("utf-16-be"),
        "wtpt": struct.pack(">4sI3i", b"XYZ ", 0, *map(fixed, (0.9642, 1.0, 0.8249))),
        **{f"{c}TRC": curve for c in "rgb"},
        **{
            f"{c}XYZ": struct.pack(">4sI3i", b"XYZ ", 0, *map(fixed, xyz))
            for c, xyz in zip("rgb", colorants, strict=True)
        },
        **more,
    }
    entries, content, at = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        entries += struct.pack(">4sII", name.encode(), at + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    size = at + len(content)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3i", *map(fixed, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + content


def by_little_cms(data: bytes, pixels: np.ndarray) -> np.ndarray:
    opened = ImageCms.ImageCmsProfile(BytesIO(data))
    transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), transform))


def colors_of(data: bytes) -> MatrixColors | None:
    return matrix_colors(data, lambda pixels: by_little_cms(data, pixels))


CURVES = {
    "linear": table(),
    "gamma": table(563),
    "points": table(*(round(65535 * (n / 32) ** 2) for n in range(33))),
    "para 0": parametric(0, 2.2),
    "para 1": parametric(1, 2.4, 1.05, -0.05),
    "para 2": parametric(2, 2.0, 1.02, -0.02, 0.0),
    "para 3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "para 4": parametric(4, 2.2, 0.9, 0.1, 0.1, 0.05, 0.004, 0.0),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_colors_are_those_of_little_cms(curve: bytes) -> None:
    data = profile(curve)
    colors = colors_of(data)
    assert colors is not None
    pixels = np.random.default_rng(0).integers(0, 256, (301, 257, 3), np.uint8)
    found, expected = colors(pixels), by_little_cms(data, pixels)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.02
    assert (found != pixels).mean() > 0.2


def test_parts_and_views_of_an_image_get_the_same_colors() -> None:
    colors = srgb_colors(profile(CURVES["para 3"]))
    assert isinstance(colors, MatrixColors)
    pixels = np.random.default_rng(1).integers(0, 256, (200, 3000, 3), np.uint8)
    whole = colors(pixels)
    assert np.array_equal(colors(pixels[3:9, 5:1000]), whole[3:9, 5:1000])
    assert np.array_equal(colors(pixels[::-1, ::2]), whole[::-1, ::2])
    assert colors(pixels[:0]).shape == (0, 3000, 3)


def test_photos_of_phones_are_shown_in_srgb() -> None:
    data = profile(CURVES["para 3"])
    shown = decode(encode(plain(), "PNG", icc_profile=data))
    assert np.abs(shown.astype(int) - by_little_cms(data, an_image())).max() <= 1


@pytest.mark.parametrize(
    "data",
    [
        profile(CURVES["gamma"], A2B0=b"mft2" + bytes(60)),
        profile(b"curv" + struct.pack(">II", 0, 50)),  # fewer points than it says
        profile(parametric(9, 2.2)),
        profile(parametric(4, 2.2)),
        profile(b"text" + bytes(12)),
        profile(CURVES["gamma"], colorants=((0.5, 0.5, 0.5),) * 3)[:-12],
        profile(CURVES["gamma"])[:140],
        profile(parametric(2, 2.0, 0.9, 0.05, 0.01)),  # its black is gray: Little CMS maps it
        b"",
    ],
)
def test_other_profiles_are_left_to_little_cms(data: bytes) -> None:
    try:
        assert colors_of(data) is None
    except OSError:  # Little CMS does not read it either
        assert matrix_colors(data, lambda pixels: pixels) is None


def test_a_profile_that_little_cms_reads_otherwise_is_left_to_it() -> None:
    data = profile(CURVES["gamma"])
    assert matrix_colors(data, lambda pixels: 255 - pixels) is None
