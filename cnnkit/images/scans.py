"""Bounds the work that a JPEG of many scans asks for, before it is decoded.

A progressive JPEG refines all of its pixels with every scan. Encoders write 10 to 20 of them; a
file of some kilobytes can hold thousands that say nothing, and each costs as much.
"""

from __future__ import annotations

import re

from cnnkit.errors import ImageError

# So many scans any image may have, and more of them where it is small: then their number times
# that of the pixels is bounded, which keeps decoding below a second or two.
USUAL_SCANS = 32
MAX_SCANNED_PIXELS = 500_000_000

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# Markers without a length: restarts among the pixels, the image's beginning, and TEM.
_BARE = frozenset((*range(0xD0, 0xD9), 0x01))


def count_scans(data: bytes) -> int:
    """Return how many scans a JPEG file has, those of its thumbnail omitted."""
    position, scans = 0, 0
    while (found := _MARKER.search(data, position)) is not None:
        kind, position = found.group(1)[0], found.end()
        if kind == _END_OF_IMAGE:
            break
        if kind in _BARE:
            continue
        scans += kind == _START_OF_SCAN
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return scans


def check_scans(data: bytes, size: tuple[int, int]) -> None:
    """Refuse a JPEG whose scans ask for far more work than its pixels need.

    Args:
        data: The file.
        size: Width and height.

    Raises:
        ImageError: too-large.
    """
    if data.count(b"\xff\xda") <= USUAL_SCANS:  # never too few
        return
    width, height = size
    scans = count_scans(data)
    if scans > USUAL_SCANS and scans * width * height > MAX_SCANNED_PIXELS:
        raise ImageError(
            "too-large",
            f"{scans:,} scans of {width} x {height} pixels ask for more work than an image of "
            f"this size may; save it again with at most {USUAL_SCANS} scans",
        )
