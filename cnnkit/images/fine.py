"""Decodes an image at full bit depth, for computing with its values."""

from __future__ import annotations

import re
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from cnnkit.images.camera_raw import content_format
from cnnkit.images.color import (
    clear_places,
    codes_to_srgb,
    gray_curve,
    gray_levels,
    is_deep,
    srgb_transform,
    through,
)
from cnnkit.images.decode import DEFAULT_MAX_PIXELS, decode, opened, turn_of
from cnnkit.images.sniff import image_format
from cnnkit.images.tiff import Directory, planes_of

_BITS_PER_SAMPLE = 258
# Which bytes of 16-bit numbers Pillow keeps, by the suffix of its raw mode; and the others.
_OTHER_BYTES = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}
_GRAY_WITH_ALPHA, _COLOR_WITH_ALPHA = 4, 6
# The header of a color PPM file: its format, width, height and maximum value.
_PPM_HEAD = re.compile(rb"(P[36])" + 3 * rb"\s+(?:#[^\n]*\n\s*)*(\d+)" + rb"\s")


def decode_fine(source: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Return an image as `decode` does, but at full bit depth.

    16 bits per channel (PNG, TIFF, PPM), wider integers and floats (TIFF) are scaled without
    rounding: 65535 becomes 255, and 257 becomes 1. Colors with a profile other than sRGB, and
    CMYK, are still reduced to 8 bits.

    Args:
        source: See `decode`.
        max_pixels: See `decode`.

    Returns:
        float32 (height, width, 3), RGB, 0 to 255.

    Raises:
        ImageError: See `decode`.
    """
    pixels = decode(source, max_pixels=max_pixels)  # refuses broken files
    fine = _fine(source) if _has_more_bits(source) else None
    return pixels.astype(np.float32) if fine is None else fine.astype(np.float32)


def _has_more_bits(source: bytes) -> bool:
    """Return whether an intact file has more than 8 bits per channel."""
    name = content_format(source)
    if name == "PNG":
        return source[24:25] == b"\x10"
    if name == "TIFF":
        return Directory(source).value(_BITS_PER_SAMPLE, 1) > 8
    return name == "PPM"


def _fine(source: bytes) -> np.ndarray | None:
    """Return the values, float (height, width, 3), or None if there are only 8 bits."""
    name = str(image_format(source[:64]))
    image = opened(source, name)
    profile = image.info.get("icc_profile")
    if codes_to_srgb(image) is not None:
        return None
    if is_deep(image):
        image.load()
        return _upright(_gray(image), image, name)
    if profile and srgb_transform(profile, "RGB") is not None:
        return None
    if name == "PPM":
        return _wide_ppm(source)
    if name == "PNG" and source[25] == _GRAY_WITH_ALPHA:
        return _upright(_gray_with_alpha(source, image), image, name)
    values = _wide_color(source, name)
    if values is None:
        return None
    alpha = values[..., 3:] / 65535 if values.shape[2] == 4 else None
    clear = image.info.get("transparency")
    if isinstance(clear, tuple):
        alpha = (values != np.array(clear)).any(axis=2, keepdims=True).astype(float)
    return _over_white(values[..., :3] / 257, alpha)


def _gray(image: Image.Image) -> np.ndarray:
    """Return gray with more than 8 bits, float (height, width, 3)."""
    profile, alpha = image.info.get("icc_profile"), clear_places(image)
    curve = gray_curve(profile) if profile else None
    levels = gray_levels(image)
    shown = through(curve, levels) if curve is not None else np.repeat(levels[..., None], 3, axis=2)
    return _over_white(shown, None if alpha is None else np.asarray(alpha)[..., None] / 255)


def _gray_with_alpha(source: bytes, image: Image.Image) -> np.ndarray:
    """Return 16-bit gray with 16-bit transparency over white, float (height, width, 3).

    Their four bytes are read as an 8-bit RGBA pixel.
    """
    header = source[12:24] + bytes([8, _COLOR_WITH_ALPHA]) + source[26:29]
    renamed = source[:12] + header + struct.pack(">I", zlib.crc32(header)) + source[33:]
    four = np.asarray(opened(renamed, "PNG"), np.uint16)
    gray, alpha = four[..., 0] << 8 | four[..., 1], four[..., 2] << 8 | four[..., 3]
    levels = np.asarray(gray, np.float64) / 257
    profile = image.info.get("icc_profile")
    curve = gray_curve(profile) if profile else None
    shown = through(curve, levels) if curve is not None else np.repeat(levels[..., None], 3, axis=2)
    return _over_white(shown, alpha[..., None] / 65535)


def _wide_color(source: bytes, name: str) -> np.ndarray | None:
    """Return 16-bit colors, upright, uint16 (height, width, 3 or 4), or None.

    Pillow keeps one byte of each number; with the other byte order it keeps the other one.
    """
    planes = planes_of(source) if name == "TIFF" else None
    if planes is not None:
        return _joined(planes)
    halves = []
    for other in (False, True):
        image = opened(source, name)
        for number, tile in enumerate(image.tile):
            arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            mode = str(arguments[0])
            if mode[-3:] not in _OTHER_BYTES or mode.startswith(("RGBa", "CMYK")):
                return None
            if other:
                mode = mode[:-3] + _OTHER_BYTES[mode[-3:]]
                kept = (mode, *arguments[1:]) if isinstance(tile.args, tuple) else mode
                image.tile[number] = tile._replace(args=kept)
        image.load()
        turn = turn_of(image, name)
        halves.append(np.asarray(image if turn is None else image.transpose(turn), np.uint16))
    high, low = halves
    return high << 8 | low


def _joined(planes: list[bytes]) -> np.ndarray | None:
    """Return 16-bit planes, one file each, as uint16 (height, width, 3 or 4), or None."""
    images = [opened(plane, "TIFF") for plane in planes]
    if len(images) not in (3, 4) or not all(image.mode.startswith("I;16") for image in images):
        return None
    for image in images:
        image.load()
    return np.stack([np.asarray(image, np.uint16) for image in images], axis=-1)


def _wide_ppm(source: bytes) -> np.ndarray | None:
    """Return the values of a color PPM file, float (height, width, 3), or None."""
    head = _PPM_HEAD.match(source)
    if head is None or int(head[4]) < 256:
        return None
    width, height, white = (int(number) for number in head.groups()[1:])
    count = width * height * 3
    if head[1] == b"P6":
        values = np.frombuffer(source, ">u2", count, head.end())
    else:
        words = re.sub(rb"#[^\n]*", b"", source[head.end() :]).split(maxsplit=count)
        values = np.array(words[:count], np.float64)
    return np.minimum(values.reshape(height, width, 3) / white, 1) * 255.0


def _upright(values: np.ndarray, image: Image.Image, name: str) -> np.ndarray:
    """Return the values of an upright image, (height, width, 3)."""
    turn = turn_of(image, name)
    if turn is None:
        return values
    channels = [Image.fromarray(values[..., c].astype(np.float32)) for c in range(3)]
    return np.stack([np.asarray(channel.transpose(turn)) for channel in channels], axis=-1)


def _over_white(values: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Return values composited over white; `alpha` is 0 to 1."""
    return values if alpha is None else values * alpha + 255.0 * (1 - alpha)
