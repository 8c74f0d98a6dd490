"""Checks a file by its format's own rules: does it lack its end, do the checksums hold?"""

from __future__ import annotations

import zlib

from cnnkit.images.jpeg_end import lacks_end
from cnnkit.images.tiff import Directory

# Some writers add a few bytes after an image's end: the mark is looked for in this tail.
_TAIL_BYTES = 4096


def ends_early(data: bytes, image_format: str) -> bool:
    """Return whether a file that could not be decoded lacks its end.

    Args:
        data: The file's content.
        image_format: One of `cnnkit.images.sniff.DECODED`.
    """
    if image_format == "JPEG":
        return lacks_end(data)
    if image_format == "PNG":
        return b"IEND" not in data[-_TAIL_BYTES:]
    if image_format == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if image_format == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if image_format == "BMP":
        return int.from_bytes(data[2:6], "little") > len(data)
    if image_format == "TIFF":
        return Directory(data).ends_early()
    if image_format == "AVIF":
        return _boxes_end_early(data)
    return False


def check_png(data: bytes) -> None:
    """Check the checksums of a PNG's pixels, which Pillow passes over.

    Without them, overwritten bytes come out as some other image. A chunk that is cut off
    is left to the decoder.

    Raises:
        ValueError: A checksum does not hold.
    """
    position, view = 8, memoryview(data)
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(view[position : position + 4], "big")
        kind = bytes(view[position + 4 : position + 8])
        checksum = bytes(view[end : end + 4])
        if kind == b"IDAT" and len(checksum) == 4:
            if zlib.crc32(view[position + 4 : end]) != int.from_bytes(checksum, "big"):
                raise ValueError("the checksum of the pixels does not hold")
        position = end + 4


def _boxes_end_early(data: bytes) -> bool:
    """Return whether a box at the top level reaches beyond the end."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:  # 0: up to the end; 1: a size of 64 bits, which no small file has
            return False
        position += size
    return position != len(data)
