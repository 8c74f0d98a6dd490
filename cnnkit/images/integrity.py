"""Checks a file by the rules of its format: is it truncated, are its checksums correct?"""

from __future__ import annotations

import zlib

from cnnkit.images.jpeg_end import lacks_end
from cnnkit.images.tiff import Directory

# Some writers add a few bytes after the end mark, which is searched for in this tail.
_TAIL_BYTES = 4096
# Of JPEG 2000: no other bytes of its pixels are these (ISO/IEC 15444-1, A.4.4).
_END_OF_CODES = b"\xff\xd9"
_GIF_IMAGE = 0x2C  # what a frame begins with


def ends_early(data: bytes, image_format: str) -> bool:
    """Return whether a file that could not be decoded is truncated.

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
    if image_format == "JPEG 2000":
        return _END_OF_CODES not in data[-_TAIL_BYTES:]
    if image_format in ("AVIF", "HEIC"):
        return _boxes_end_early(data)
    return False


def lacks_pixels(data: bytes, image_format: str) -> bool:
    """Return whether pixels of the first frame are missing, in formats that Pillow would fill up.

    It does so where a program has set ``ImageFile.LOAD_TRUNCATED_IMAGES``, which holds for all of
    the process.

    Args:
        data: The file's content.
        image_format: One of `cnnkit.images.sniff.DECODED`.
    """
    if image_format == "GIF":
        return not _has_gif_frame(data)
    return image_format in ("PNG", "BMP", "TIFF", "JPEG 2000") and ends_early(data, image_format)


def _has_gif_frame(data: bytes) -> bool:
    """Return whether a GIF file has all blocks of its first frame."""
    position = 13 + _gif_colors(data[10:11])
    while position < len(data):
        kind, position = data[position], position + 1
        if kind == _GIF_IMAGE:
            position += 10 + _gif_colors(data[position + 8 : position + 9])
        else:
            position += 1  # an extension's label
        while position < len(data) and data[position]:
            position += 1 + data[position]
        if position < len(data) and kind == _GIF_IMAGE:
            return True
        position += 1
    return False


def _gif_colors(packed: bytes) -> int:
    """Return the bytes of the table of colors that a byte of flags announces."""
    return 3 << (packed[0] & 7) + 1 if packed and packed[0] & 0x80 else 0


def check_png(data: bytes) -> None:
    """Verify the checksums of a PNG's pixels, which Pillow ignores.

    Otherwise overwritten bytes would decode to a different image. A truncated chunk is left to
    the decoder.

    Raises:
        ValueError: A checksum is wrong.
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
    """Return whether a box at the top level extends past the end of the file."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:  # 0: to the end; 1: a 64-bit size, which no small file has
            return False
        position += size
    return position != len(data)
