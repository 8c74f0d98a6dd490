"""Bounds the work of decoding a JPEG with many scans.

Each scan of a progressive JPEG refines all pixels. Encoders write 10 to 20 scans; a file of a few
kilobytes can hold thousands of empty ones, and each takes as long to decode.
"""

from __future__ import annotations

import re

import numpy as np

from cnnkit.errors import ImageError

# Any image may have this many scans, and a small one more: the number of scans times that of the
# pixels is bounded, which keeps decoding below a second or two.
USUAL_SCANS = 32
MAX_SCANNED_PIXELS = 500_000_000

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_SCAN_MARK = bytes((0xFF, _START_OF_SCAN))
# Markers without a length: restarts, the start of the image, and TEM.
_BARE = frozenset((*range(0xD0, 0xD9), 0x01))


def count_scans(data: bytes) -> int:
    """Return the number of scans of a JPEG file, without those of its thumbnail."""
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


def has_one_scan(data: bytes, components: int, progressive: bool, end: int) -> bool:
    """Return whether a decoder reads a single scan of a JPEG, whatever follows.

    So it is unless the scans are progressive or the first leaves components out: a decoder refuses
    more than it needs.

    Args:
        data: The file.
        components: How many components the frame has.
        progressive: Whether the frame is progressive.
        end: Where the header of the first scan ends.
    """
    length = 6 + 2 * components  # of the header of a scan of all components
    start = end - length - len(_SCAN_MARK)
    header = _SCAN_MARK + length.to_bytes(2, "big") + bytes((components,))
    return not progressive and start > 0 and data[start : start + len(header)] == header


def check_scans(data: bytes, size: tuple[int, int]) -> None:
    """Refuse a JPEG whose scans take far more work than its pixels need.

    Args:
        data: The file.
        size: Width and height.

    Raises:
        ImageError: too-large.
    """
    if _scan_marks(data) <= USUAL_SCANS:  # never too few
        return
    width, height = size
    scans = count_scans(data)
    if scans > USUAL_SCANS and scans * width * height > MAX_SCANNED_PIXELS:
        raise ImageError(
            "too-large",
            f"{scans:,} scans of {width} x {height} pixels ask for more work than an image of "
            f"this size may; save it again with at most {USUAL_SCANS} scans",
        )


def _scan_marks(data: bytes) -> int:
    """Count the bytes FF DA: `bytes.count` takes twice as long."""
    content = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(content[1:] == _START_OF_SCAN)
    return int(np.count_nonzero(content[places] == 0xFF))
