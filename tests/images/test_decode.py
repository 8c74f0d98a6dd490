from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from cnnkit.errors import ImageError
from cnnkit.images.decode import decode, open_image
from tests.ugly_files import (
    an_image,
    bad_files,
    bomb,
    encode,
    exif,
    good_files,
    heic,
    palette_with_transparency,
    plain,
    png,
    png_of_16_bits,
    translucent,
)

# Small files of every format, with smooth content and with noise.
NOISE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8))
FILES = {
    "jpeg": encode(NOISE, "JPEG", quality=60),
    "progressive": encode(NOISE, "JPEG", progressive=True),
    "cmyk": encode(NOISE.convert("CMYK"), "JPEG"),
    "png": encode(NOISE, "PNG"),
    "palette": encode(palette_with_transparency(), "PNG"),
    "deep png": png_of_16_bits(1),
    "webp": encode(NOISE, "WEBP"),
    "lossless webp": encode(NOISE, "WEBP", lossless=True),
    "animated webp": encode(NOISE, "WEBP", save_all=True, append_images=[NOISE.rotate(180)]),
    "bmp": encode(NOISE, "BMP"),
    "run length bmp": good_files()["run length.bmp"],
    "gif": encode(NOISE.quantize(32), "GIF"),
    "animated gif": encode(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(180)]),
    "tiff": encode(NOISE, "TIFF"),
    "lzw tiff": encode(NOISE, "TIFF", compression="tiff_lzw"),
    "deflate tiff": encode(NOISE, "TIFF", compression="tiff_deflate"),
    "jpeg tiff": encode(NOISE, "TIFF", compression="jpeg"),
    "fax tiff": encode(NOISE.convert("1"), "TIFF", compression="group4"),
    "ppm": encode(NOISE, "PPM"),
    "text pgm": good_files()["text.pgm"],
    "avif": encode(NOISE, "AVIF"),
    "heic": heic("photo"),
    "jpeg 2000": encode(NOISE, "JPEG2000"),
    "codes of jpeg 2000": encode(NOISE, "JPEG2000", no_jp2=True),
    "exif": encode(NOISE, "JPEG", exif=exif(6)),
    "profile": encode(
        NOISE, "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
}


def kind_of(data: bytes, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, **options)
    assert "\n" not in caught.value.message
    return caught.value.kind


@pytest.mark.parametrize("name", sorted(good_files()))
def test_good_files_give_pixels(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = decode(good_files()[name])
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3 and pixels.shape[2] == 3
    assert pixels.flags.owndata or pixels.base is not None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(bad_files()))
def test_bad_files_give_their_kind(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    kind, content = bad_files()[name]
    assert kind_of(content) == kind
    assert capfd.readouterr() == ("", "")


# === Each kind of pixel, against the image it was made of ===


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encode(plain(), "PNG"), 0),
        (encode(plain(), "WEBP", lossless=True), 0),
        (encode(plain(), "BMP"), 0),
        (encode(plain(), "TIFF"), 0),
        (encode(plain(), "TIFF", compression="tiff_lzw"), 0),
        (encode(plain(), "PPM"), 0),
        (png_of_16_bits(3), 0),
        (png_of_16_bits(4), 0),
        (encode(plain(), "JPEG", quality=98, subsampling=0), 6),
        (encode(plain(), "JPEG", quality=98, subsampling=0, progressive=True), 6),
        (encode(plain().convert("CMYK"), "JPEG", quality=98), 6),
        (encode(plain().convert("CMYK"), "TIFF"), 1),
        (encode(plain(), "AVIF", quality=100, subsampling="4:4:4"), 8),
    ],
)
def test_color_formats(data: bytes, tolerance: int) -> None:
    difference = np.abs(decode(data).astype(int) - an_image())
    assert difference.max() <= tolerance


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encode(plain(), "WEBP", quality=100), 4),
        (encode(plain().quantize(256), "PNG"), 6),
        (encode(plain().quantize(256), "BMP"), 6),
        (encode(plain().quantize(256), "GIF"), 6),
        (good_files()["lab.tif"], 2),
    ],
)
def test_color_formats_that_lose(data: bytes, tolerance: float) -> None:
    assert np.abs(decode(data).astype(int) - an_image()).mean() <= tolerance


@pytest.mark.parametrize("name", ["16 bit.tif", "float.tif", "32 bit.tif"])
def test_deep_gray_tiff(name: str) -> None:
    expected = np.asarray(plain().convert("L").convert("RGB"))
    assert np.array_equal(decode(good_files()[name]), expected)


@pytest.mark.parametrize("channels", [1, 2])
def test_deep_gray_png_keeps_the_high_byte(channels: int) -> None:
    expected = np.repeat(an_image()[..., :1], 3, axis=2)
    assert np.array_equal(decode(png_of_16_bits(channels)), expected)


def test_deep_gray_is_not_stretched_to_its_own_range() -> None:
    dark = np.full((2, 2), 0x1234, ">u2")
    assert np.array_equal(decode(png(2, 2, 16, 0, dark.tobytes())), np.full((2, 2, 3), 0x12))
    assert decode(b"P5 1 1 65535\n\x00\xff").max() == 0


def test_gray_and_one_bit() -> None:
    gray = plain().convert("L")
    expected = np.asarray(gray.convert("RGB"))
    assert np.array_equal(decode(encode(gray, "PNG")), expected)
    assert set(np.unique(decode(encode(gray.convert("1"), "PNG")))) == {0, 255}
    assert np.abs(decode(encode(gray, "JPEG", quality=98)) - expected.astype(int)).max() <= 4


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_over_white(image_format: str) -> None:
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    image = translucent()
    alpha = np.asarray(image)[..., 3:] / 255
    expected = np.asarray(image)[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(decode(encode(image, image_format, **options)) - expected).max() <= 1.5


def test_transparency_of_palettes_and_single_colors() -> None:
    pixels = decode(encode(palette_with_transparency(), "PNG"))
    entries = np.asarray(palette_with_transparency())
    assert (pixels[entries == 0] == 255).all()
    clear_red = decode(good_files()["one clear color.png"])
    assert clear_red.tolist() == [[[255, 255, 255], [0, 0, 9]]]
    gray_alpha = decode(encode(translucent().convert("LA"), "PNG"))
    assert (gray_alpha[:, 0] == 255).all()


@pytest.mark.parametrize("name", ["animated.gif", "animated.webp", "pages.tiff"])
def test_first_frame_or_page(name: str) -> None:
    difference = np.abs(decode(good_files()[name]).astype(int) - an_image())
    assert difference.mean() < 8


def test_run_length_bmp() -> None:
    gray_levels = decode(good_files()["run length.bmp"])[..., 2]
    assert gray_levels.tolist() == [[200] * 4 + [90] * 4, [40] * 8]


# === Orientation ===


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {}),
    ],
)
def test_exif_orientation(orientation: int, image_format: str, options: dict) -> None:
    data = encode(plain(), image_format, exif=exif(orientation), **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data), np.asarray(expected))


@pytest.mark.parametrize(("orientation", "row", "column"), [(1, 0, 0), (3, 1, 1), (6, 0, 1)])
def test_orientation_6_turns_the_top_left_to_the_top_right(
    orientation: int, row: int, column: int
) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10, :10] = 255
    data = encode(Image.fromarray(pixels), "JPEG", exif=exif(orientation), quality=95)
    upright = decode(data)
    corner = upright[-5 if row else 5, -5 if column else 5]
    assert corner.min() > 200
    assert upright.shape == ((60, 40, 3) if orientation == 6 else (40, 60, 3))


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_unknown_orientation_is_upright(orientation: int) -> None:
    data = encode(plain(), "PNG", exif=exif(orientation))
    assert np.array_equal(decode(data), an_image())


# === Limits ===


def test_size_limit_is_checked_before_decoding() -> None:
    assert kind_of(bomb()) == "too-large"
    data = encode(plain(), "PNG")
    assert kind_of(data, max_pixels=24 * 32 - 1) == "too-large"
    assert decode(data, max_pixels=24 * 32).shape == (24, 32, 3)
    assert kind_of(data[:60], max_pixels=10) == "too-large"  # the pixels are not even there


@pytest.mark.parametrize(
    "name", ["jpeg", "png", "webp", "bmp", "gif", "tiff", "ppm", "avif", "heic", "jpeg 2000"]
)
def test_size_limit_holds_for_every_format(name: str) -> None:
    assert kind_of(FILES[name], max_pixels=16 * 24 - 1) == "too-large"


def test_no_warning_of_large_images(recwarn: pytest.WarningsRecorder) -> None:
    header = struct.pack(">IIBBBBB", 12000, 12000, 8, 2, 0, 0, 0)
    claims_144_million = bytearray(bomb())
    claims_144_million[16:29] = header
    assert kind_of(bytes(claims_144_million)) in ("corrupt", "too-large")
    assert not recwarn.list


# === Reduced decoding ===


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        ((400, 600), (400, 600)),
        ((201, 300), (400, 600)),
        ((200, 300), (200, 300)),
        ((100, 100), (100, 150)),
        ((30, 70), (50, 75)),
        ((1, 1), (50, 75)),
        ((4000, 4000), (400, 600)),
    ],
)
def test_at_least(orientation: int, at_least: tuple[int, int], expected: tuple[int, int]) -> None:
    image = plain().resize((600, 400), Image.Resampling.BICUBIC)
    if orientation == 6:
        image = image.transpose(Image.Transpose.ROTATE_90)
    data = encode(image, "JPEG", exif=exif(orientation), quality=95)
    pixels = decode(data, at_least=at_least)
    assert pixels.shape[:2] == expected
    assert open_image(data, at_least=lambda h, w: at_least).height == 400
    small = Image.fromarray(decode(data)).resize(expected[::-1], Image.Resampling.BOX)
    assert np.abs(pixels.astype(int) - np.asarray(small)).mean() < 2


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_decoders_of_jpegs_give_the_same_pixels(
    orientation: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = plain().resize((333, 200), Image.Resampling.BICUBIC).convert(mode)
    data = encode(image, "JPEG", exif=exif(orientation), quality=90)
    sizes = [None, (100, 100), (40, 25)]
    fast = [decode(data, at_least=size) for size in sizes]
    monkeypatch.setattr(import_module("cnnkit.images.decode"), "_sound_jpeg", lambda *parts: None)
    for size, pixels in zip(sizes, fast, strict=True):
        assert np.array_equal(pixels, decode(data, at_least=size))


def test_at_least_changes_other_formats_in_nothing() -> None:
    assert np.array_equal(decode(encode(plain(), "PNG"), at_least=(1, 1)), an_image())


# === Broken files ===


# The last number of an image written as text can lose a digit without a trace.
@pytest.mark.parametrize("name", sorted(FILES.keys() - {"text pgm"}))
def test_cut_files_never_give_half_an_image(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = FILES[name]
    whole = decode(data)
    step = max(1, len(data) // 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in [*range(1, len(data), step), *range(max(1, len(data) - 12), len(data))]:
            try:
                pixels = decode(data[:length])
            except ImageError as error:
                assert error.kind in ("truncated", "not-an-image", "corrupt")
                assert error.kind != "corrupt" or name == "ppm", (length, error)
            else:
                assert np.array_equal(pixels, whole), length
    assert capfd.readouterr() == ("", "")


@st.composite
def damaged(draw: Callable) -> bytes:
    """One of the small files with some bytes changed, and perhaps cut or lengthened."""
    data = bytearray(draw(st.sampled_from(sorted(FILES.values()))))
    places = st.integers(0, len(data) - 1)
    near_start = st.integers(0, min(120, len(data) - 1))
    for place in draw(st.lists(places | near_start, max_size=8)):
        data[place] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(data)) | st.just(len(data)))
    return bytes(data[:cut]) + draw(st.binary(max_size=4))


@given(damaged())
@example(FILES["jpeg"])
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_give_pixels_or_an_image_error(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = decode(data, max_pixels=1_000_000)
        except ImageError:
            return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


@given(damaged())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_warnings_made_errors_do_not_escape(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            decode(data, max_pixels=1_000_000)
        except ImageError as error:
            assert error.kind in ImageError.KINDS


def test_decoders_write_nothing_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in FILES.values():
            for _ in range(30):
                changed = bytearray(data)
                for place in random.integers(0, len(data), 4):
                    changed[place] = random.integers(256)
                try:
                    decode(bytes(changed), max_pixels=1_000_000)
                except ImageError:
                    pass
    assert capfd.readouterr() == ("", "")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        decode(data, max_pixels=1_000_000)
    except ImageError as error:
        assert error.kind in (
            "empty",
            "not-an-image",
            "unsupported",
            "truncated",
            "corrupt",
            "too-large",
        )


@pytest.mark.parametrize("name", ["cat.jpg", "coffee.jpg", "rocket.jpg", "photographer.jpg"])
def test_a_sound_jpeg_has_pillows_own_pixels(examples, name) -> None:
    content = (examples / name).read_bytes()
    with Image.open(examples / name) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(content), expected)
    needed = (expected.shape[0] // 2, expected.shape[1] // 2)
    with Image.open(examples / name) as image:
        image.draft(None, needed[::-1])
        reduced = np.asarray(image.convert("RGB"))
    assert reduced.shape != expected.shape
    np.testing.assert_array_equal(decode(content, at_least=needed), reduced)
