"""Checks a file by its format's own rules: does it lack its end, do the checksums hold?"""

from __future__ import annotations

import zlib

# Some writers add a few bytes after a picture's end: the mark is looked for in this tail.
_TAIL_BYTES = 4096

# TIFF: the bytes of a value by its type, and the tags of where strips or tiles begin and
# how many bytes each has.
_TIFF_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_BLOCKS = ((273, 279), (324, 325))


def ends_early(data: bytes, picture_format: str) -> bool:
    """Return whether a file that could not be decoded lacks its end.

    Args:
        data: The file's content.
        picture_format: One of `cnnkit.images.sniff.DECODED`.
    """
    if picture_format == "JPEG":
        return b"\xff\xd9" not in data[-_TAIL_BYTES:]
    if picture_format == "PNG":
        return b"IEND" not in data[-_TAIL_BYTES:]
    if picture_format == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if picture_format == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if picture_format == "BMP":
        return int.from_bytes(data[2:6], "little") > len(data)
    if picture_format == "TIFF":
        return _tiff_ends_early(data)
    if picture_format == "AVIF":
        return _boxes_end_early(data)
    return False


def check_png(data: bytes) -> None:
    """Check the checksums of a PNG's pixels, which Pillow passes over.

    Without them, overwritten bytes come out as some other picture. A chunk that is cut off
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


def _tiff_ends_early(data: bytes) -> bool:
    """Return whether the first directory, or a strip or tile that it names, is cut off."""
    order = "little" if data[:2] == b"II" else "big"

    def number(position: int, size: int) -> int:
        return int.from_bytes(data[position : position + size], order)

    def values(entry: int) -> list[int]:
        """Return the numbers of a directory's entry; beyond the file, one that is too large."""
        size, count = _TIFF_TYPE_BYTES.get(number(entry + 2, 2), 1), number(entry + 4, 4)
        start = entry + 8 if size * count <= 4 else number(entry + 8, 4)
        if start + size * count > len(data):
            return [len(data) + 1]
        return [number(start + i * size, size) for i in range(count)]

    directory = number(4, 4)
    entries = range(directory + 2, directory + 2 + 12 * number(directory, 2), 12)
    if entries.stop > len(data):
        return True
    tags = {number(entry, 2): values(entry) for entry in entries}
    ends = [0]
    for offsets, counts in _TIFF_BLOCKS:
        ends += map(sum, zip(tags.get(offsets, []), tags.get(counts, []), strict=False))
    cut_off_values = any(found == [len(data) + 1] for found in tags.values())
    return cut_off_values or max(ends) > len(data)


def _boxes_end_early(data: bytes) -> bool:
    """Return whether a box at the top level reaches beyond the end."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:  # 0: up to the end; 1: a size of 64 bits, which no small file has
            return False
        position += size
    return position != len(data)
