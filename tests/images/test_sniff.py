from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cnnkit.images.sniff import (
    DECODED,
    HEADER_BYTES,
    IMAGE_SUFFIXES,
    RECOGNIZED,
    has_image_suffix,
    image_format,
    is_image_header,
    other_content,
)
from tests.ugly_files import bad_files, good_files

FORMATS = {
    ".jpg": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pbm": "PPM",
    ".pgm": "PPM",
    ".avif": "AVIF",
    ".jp2": "JPEG 2000",
    ".heic": "HEIC",
}


@pytest.mark.parametrize("name", sorted(good_files()))
def test_good_files_are_recognized_by_their_first_bytes(name: str) -> None:
    header = good_files()[name][:HEADER_BYTES]
    ending = name[name.rfind(".") :].lower()
    expected = "PNG" if name == "wrong ending.jpg" else FORMATS.get(ending, "JPEG")
    assert image_format(header) == expected
    assert expected in DECODED
    assert is_image_header(header)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", None),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\0\0\x01\0\x01\0", "icon"),
        (b"\xef\xbb\xbf<svg xmlns=", "SVG"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"BMW is a maker of cars, not a bitmap", None),
        (b"P4ssword: 12345", None),
        (b"P6 is a processor", None),
        (b"P6\n640 480\n255\n", "PPM"),
        (b"P5#by hand\n2 2 255\n", "PPM"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"", None),
    ],
)
def test_image_format(header: bytes, expected: str | None) -> None:
    assert image_format(header) == expected
    assert expected is None or expected in DECODED + RECOGNIZED
    assert is_image_header(header) == (expected not in (None, "icon", "SVG"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jpg", True), ("a.JPeG", True), ("a.tar.WEBP", True), ("jpg", False), ("a.txt", False)],
)
def test_has_image_suffix(name: str, expected: bool) -> None:
    assert has_image_suffix(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text.jpg", "text"),
        ("web page.png", "a web page"),
        ("document.jpg", "a PDF document"),
        ("archive.png", "an archive"),
        ("video.jpg", "a video"),
        ("random.jpg", ""),
        ("zeros.jpg", ""),
    ],
)
def test_other_content(name: str, expected: str) -> None:
    assert other_content(bad_files()[name][1][:HEADER_BYTES]) == expected


@given(
    st.lists(st.sampled_from(["a", ".", "/", "jpg", ".JPG", "\\", "é", "tar", " ", "ſ"])).map(
        "".join
    )
)
@example("..jpg")
@example("a/.jpg")
@example("a.b/..jpg")
def test_a_suffix_is_what_the_library_calls_one(name: str) -> None:
    assert has_image_suffix(name) is (os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)
