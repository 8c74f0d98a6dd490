"""PNG files as people have them: with much text, large profiles, chunks that are broken."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from cnnkit.errors import ImageError
from cnnkit.images import decode, decode_with_alpha, upright_size
from cnnkit.images.color import MAX_PROFILE_BYTES
from tests.ugly_files import an_image, encode, exif, plain, png, png_chunk, translucent

PIXELS = an_image()
HEIGHT, WIDTH = PIXELS.shape[:2]
NOISE = np.random.default_rng(0).bytes(1_500_000)
LONG = NOISE.hex().encode()[:1_500_000]


def with_chunks(data: bytes, *chunks: bytes, after_pixels: bool = False) -> bytes:
    """Return a PNG with chunks behind its header, or before its end mark."""
    at = data.rindex(b"IEND") - 4 if after_pixels else 33
    return data[:at] + b"".join(chunks) + data[at:]


def broken(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def text(keyword: bytes, content: bytes) -> bytes:
    return png_chunk(b"tEXt", keyword + b"\0" + content)


def packed_text(keyword: bytes, content: bytes) -> bytes:
    return png_chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content))


def profile_chunk(profile: bytes) -> bytes:
    return png_chunk(b"iCCP", b"press\0\0" + zlib.compress(profile))


# Made by the test that asks for one: packing them takes half a second, and all of them 80 MB.
HARMLESS = {
    "long text": lambda: text(b"parameters", LONG),
    "long packed text": lambda: packed_text(b"parameters", LONG),
    "text that unpacks to 20 MB": lambda: packed_text(b"parameters", bytes(20_000_000)),
    "much text": lambda: text(b"a", LONG) * 50,
    "long international text": lambda: png_chunk(
        b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG)
    ),
    "long XMP": lambda: png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG),
    "long packed EXIF": lambda: packed_text(b"Raw profile type exif", LONG),
    "large noise for a profile": lambda: profile_chunk(NOISE),
    "too large a profile": lambda: profile_chunk(bytes(MAX_PROFILE_BYTES + 1)),
    "a profile packed another way": lambda: png_chunk(b"iCCP", b"x\0\1" + zlib.compress(b"x")),
    "a profile without a name": lambda: png_chunk(b"iCCP", b"x"),
    "a broken text": lambda: broken(text(b"a", b"b")),
    "a broken profile": lambda: broken(profile_chunk(b"x")),
    "a broken time": lambda: broken(png_chunk(b"tIME", bytes(7))),
    "a short resolution": lambda: png_chunk(b"pHYs", b"\0"),
    "a short sRGB": lambda: png_chunk(b"sRGB", b""),
    "a short gamma": lambda: png_chunk(b"gAMA", b"\0"),
    "short primaries": lambda: png_chunk(b"cHRM", b"\0\0"),
    "a short transparency": lambda: png_chunk(b"tRNS", b"\0\0"),
    "short animation control": lambda: png_chunk(b"acTL", b"\0") + png_chunk(b"fcTL", b"\0"),
    "an unknown chunk": lambda: broken(png_chunk(b"noNe", b"?")),
    "broken EXIF": lambda: broken(png_chunk(b"eXIf", b"II*\0")),
    "EXIF of nothing": lambda: png_chunk(b"eXIf", b"?"),
}


@pytest.mark.parametrize("after_pixels", [False, True])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_an_image_can_do_without(name: str, after_pixels: bool, tmp_path: Path) -> None:
    data = with_chunks(encode(plain(), "PNG"), HARMLESS[name](), after_pixels=after_pixels)
    np.testing.assert_array_equal(decode(data), PIXELS)
    np.testing.assert_array_equal(decode_with_alpha(data)[0], PIXELS)
    (tmp_path / "a.png").write_bytes(data)
    assert upright_size(str(tmp_path / "a.png")) == (HEIGHT, WIDTH)


def test_a_large_profile_is_followed() -> None:
    """A profile of 3 MB, as of printing presses: sRGB with red and green changed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.find(b"rXYZ"), profile.find(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    small = encode(plain(), "PNG", icc_profile=bytes(profile))
    expected = decode(small)
    assert np.abs(expected.astype(int) - PIXELS).max() > 50
    padded = bytearray(profile) + bytes(3_000_000)
    padded[:4] = len(padded).to_bytes(4, "big")
    data = with_chunks(encode(plain(), "PNG"), profile_chunk(bytes(padded)))
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("after_pixels", [False, True])
def test_turned_by_any_of_its_texts(after_pixels: bool, tmp_path: Path) -> None:
    turned = np.rot90(PIXELS, -1)
    raw = b"\nexif\n      8\n" + exif(6).tobytes().hex().encode()
    xmp = b'<x tiff:Orientation="6"/>'
    chunks = [
        png_chunk(b"eXIf", exif(6).tobytes()[6:]),
        text(b"Raw profile type exif", raw),
        packed_text(b"Raw profile type exif", raw),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(xmp)),
    ]
    for chunk in chunks:
        data = with_chunks(encode(plain(), "PNG"), chunk, after_pixels=after_pixels)
        np.testing.assert_array_equal(decode(data), turned)
        (tmp_path / "a.png").write_bytes(data)
        assert upright_size(str(tmp_path / "a.png")) == (WIDTH, HEIGHT)


def test_transparency_stays() -> None:
    image = plain()
    clear = tuple(int(value) for value in PIXELS[5, 7])
    data = with_chunks(
        encode(image, "PNG"),
        png_chunk(b"tRNS", b"".join(value.to_bytes(2, "big") for value in clear)),
    )
    expected = PIXELS.copy()
    expected[(PIXELS == clear).all(-1)] = 255
    np.testing.assert_array_equal(decode(data), expected)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "x" * 3_000_000, zip=True)
    long = encode(translucent(), "PNG", pnginfo=info)
    np.testing.assert_array_equal(decode(long), decode(encode(translucent(), "PNG")))


def test_the_default_image_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert (decode(data) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_what_it_needs_must_be_sound(kind: bytes) -> None:
    data = bytearray(encode(plain().quantize(8), "PNG"))
    start = data.index(kind)
    end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
    data[end] ^= 1
    with pytest.raises(ImageError) as caught:
        decode(bytes(data))
    assert caught.value.kind == "corrupt"


def test_a_missing_end_is_told_of() -> None:
    data = with_chunks(png(1, 1, 8, 2, bytes(3)), HARMLESS["long text"]())
    with pytest.raises(ImageError) as caught:
        decode(data[:1000])
    assert caught.value.kind == "truncated"
