"""Distinguishes a JPEG file that lacks only its end mark from one that also lacks pixels."""

from __future__ import annotations

import logging
import os
import re

import simplejpeg

log = logging.getLogger(__name__)

END = b"\xff\xd9"
_START = b"\xff\xd8\xff"
_SCAN_MARK = b"\xff\xda"
_TAIL_BYTES = 4096
_SHORT_BYTES = 1 << 17
# A scan's pixels end at a marker that is neither a stuffed byte nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _PROGRESSIVE = 0xDA, (0xC2, 0xC6, 0xCA, 0xCE)
_COEFFICIENTS = 64
_told: set[str] = set()
_MOST_TOLD = 10_000


class NamedBytes(bytes):
    """The content of a file, with its path for messages.

    Attributes:
        path: Path of the file.
    """

    path: str


def named(data: bytes, path: str) -> bytes:
    """Return a file's content, with its path if it is a JPEG without an end mark."""
    if not data.startswith(_START) or not lacks_end(data):
        return data
    content = NamedBytes(data)
    content.path = os.fspath(path)
    return content


def lacks_end(data: bytes) -> bool:
    """Return whether no end mark follows the pixels of a JPEG file."""
    if END not in data[-_TAIL_BYTES:]:
        return True
    # It may be that of a thumbnail, which precedes the pixels.
    return len(data) < _SHORT_BYTES and data.find(_SCAN_MARK, data.rfind(END)) != -1


def completed(source: bytes) -> bytes:
    """Return a JPEG with its end mark added, if no pixel is missing; log it for a file.

    Raises:
        OSError: Pixels are missing too.
    """
    whole = source.rstrip(b"\0") + END
    if not (_has_all_scans(whole) and _decodes(whole)):
        raise OSError("truncated")
    path = getattr(source, "path", None)
    if path is not None and path not in _told and len(_told) < _MOST_TOLD:  # once, not per epoch
        _told.add(path)
        log.warning("%s: the end mark is missing; all pixels are there", path)
    return whole


def _decodes(data: bytes) -> bool:
    """Return whether the decoder reports no error."""
    for color in ("RGB", "CMYK"):
        try:
            simplejpeg.decode_jpeg(data, color, strict=True)
            return True
        except ValueError:
            continue
    return False


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans refine each component to its last bit."""
    position, progressive, missing = 2, False, {}
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        kind = data[position + 1]
        if kind in (0xFF, 0x01) or 0xD0 <= kind <= 0xD8:  # fill bytes, markers without content
            position += 1 if kind == 0xFF else 2
            continue
        content = data[
            position + 4 : position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        ]
        position += 4 + len(content)
        if kind in _FRAMES and len(content) > 6:
            progressive = kind in _PROGRESSIVE
            missing = {component: set(range(_COEFFICIENTS)) for component in content[6::3]}
        if kind == _SCAN:
            _strike(content, progressive, missing)
            found = _MARKER.search(data, position)
            position = found.start() if found else len(data)
    return bool(missing) and not any(missing.values())


def _strike(scan: bytes, progressive: bool, missing: dict[int, set[int]]) -> None:
    """Remove the coefficients that a scan completes."""
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        return
    first, last, low_bits = scan[1 + 2 * count], scan[2 + 2 * count], scan[3 + 2 * count] & 15
    if not progressive:
        first, last, low_bits = 0, _COEFFICIENTS - 1, 0
    for component in scan[1 : 1 + 2 * count : 2]:
        if low_bits == 0 and component in missing:
            missing[component] -= set(range(first, last + 1))
