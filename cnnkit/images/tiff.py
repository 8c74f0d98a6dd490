"""Opens TIFF files with Pillow, and corrects what its reader gets wrong or ignores.

- 16-bit gray with white as zero is read as its negative.
- 16-bit color in planes, and floats in the other byte order, are read from the wrong offsets.
- Large 32-bit numbers become negative, and 12 bits are taken for 16.
- BigTIFF is supported in one byte order only.
- libtiff writes its errors straight to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import PIL
from PIL import ImageFile

from cnnkit.errors import ImageError

# Entries of `Image.info` about the values of gray images, for `cnnkit.images.color`.
WHITE_IS_ZERO = "cnnkit white is zero"
UNSIGNED = "cnnkit unsigned"
BITS = "cnnkit bits"

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_WIDTHS |= {13: 4, 16: 8, 17: 8, 18: 8}  # directories, and the 64-bit numbers of BigTIFF
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 339
_EXTRA_SAMPLES = 338
# Offsets of the strips or tiles, and their sizes in bytes.
_BLOCKS = ((273, 279), (324, 325))
_UNCOMPRESSED = 1
# No file has so many tags, but it may count more, in many directories.
_MOST_ENTRIES = 1 << 12
_NAMES = {34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
_NAMES |= {50002: "JPEG XL", 52546: "JPEG XL"}


@dataclass(frozen=True)
class TiffEntry:
    """One entry of a directory.

    Attributes:
        tag: Its tag.
        kind: The type number of its values.
        width: Bytes per value.
        count: Number of values.
        start: Offset of the first value in the file.
    """

    tag: int
    kind: int
    width: int
    count: int
    start: int


class Directory:
    """A directory of a TIFF or BigTIFF file, read without trusting it.

    Attributes:
        order: Byte order, ``little`` or ``big``.
        following: Offset of the next directory, 0 after the last.
        entries: The entries by tag.
        is_big: Whether it is BigTIFF, with 64-bit offsets.
        complete: Whether the file has all entries.
    """

    def __init__(self, data: bytes, start: int | None = None) -> None:
        """Read the entries.

        Args:
            data: The file.
            start: Offset of the directory; the first one by default.
        """
        self.complete = False
        self.following = 0
        self._data = data
        self.order: Any = "little" if data[:2] == b"II" else "big"
        self.is_big = self._number(2, 2) == 43
        self.entries = {entry.tag: entry for entry in self._read(start)}

    def _number(self, position: int, width: int) -> int:
        return int.from_bytes(self._data[position : position + width], self.order)

    def _read(self, start: int | None) -> Iterator[TiffEntry]:
        pointer, size = (8, 20) if self.is_big else (4, 12)
        first = self._number(8 if self.is_big else 4, pointer) if start is None else start
        counted = 8 if self.is_big else 2
        number = self._number(first, counted)
        self.complete = first + counted + number * size <= len(self._data)
        end = min(first + counted + number * size, len(self._data))
        self.following = self._number(first + counted + number * size, pointer)
        for at in range(first + counted, min(end, first + counted + _MOST_ENTRIES * size), size):
            kind = self._number(at + 2, 2)
            width = _WIDTHS.get(kind, 1)
            count = self._number(at + 4, pointer)
            inline = at + 4 + pointer
            start = inline if width * count <= pointer else self._number(inline, pointer)
            yield TiffEntry(self._number(at, 2), kind, width, count, start)

    def ends_early(self) -> bool:
        """Return whether the directory, or a strip or tile of it, is truncated."""
        if not self.complete:
            return True
        ends = [entry.start + entry.width * entry.count for entry in self.entries.values()]
        if max(ends, default=0) > len(self._data):
            return True
        for offsets, counts in _BLOCKS:
            pairs = zip(self.values(offsets), self.values(counts), strict=False)
            if any(sum(pair) > len(self._data) for pair in pairs):
                return True
        return False

    def values(self, tag: int) -> list[int]:
        """Return the integers of an entry, [] if it is missing or truncated."""
        entry = self.entries.get(tag)
        if entry is None or entry.start + entry.width * entry.count > len(self._data):
            return []
        starts = range(entry.start, entry.start + entry.width * entry.count, entry.width)
        return [self._number(start, entry.width) for start in starts]

    def value(self, tag: int, default: int) -> int:
        """Return the first number of an entry."""
        entry = self.entries.get(tag)  # which may claim as many numbers as the file has bytes
        if (
            not entry
            or not entry.count
            or entry.start + entry.width * entry.count > len(self._data)
        ):
            return default
        return self._number(entry.start, entry.width)

    def with_value(self, tag: int, value: int) -> bytes:
        """Return the file with another number in an existing entry."""
        entry = self.entries[tag]
        number = value.to_bytes(entry.width, self.order)
        return self._data[: entry.start] + number + self._data[entry.start + entry.width :]

    def as_classic(self, entries: Iterable[TiffEntry] | None = None) -> bytes:
        """Return the file as 32-bit TIFF, with another directory appended.

        Args:
            entries: The new directory, with values anywhere in the file; its own by default.
        """
        entries = list(self.entries.values()) if entries is None else list(entries)
        table, beyond = b"", b""
        behind = len(self._data) + 2 + 12 * len(entries) + 4
        for entry in entries:
            content, kind = self._short(entry), {16: 4, 17: 9, 18: 13}.get(entry.kind, entry.kind)
            if len(content) > 4:
                beyond += content
                content = self._bytes(behind + len(beyond) - len(content), 4)
            table += self._bytes(entry.tag, 2) + self._bytes(kind, 2)
            table += self._bytes(entry.count, 4) + content.ljust(4, b"\0")
        head = self._data[:2] + self._bytes(42, 2) + self._bytes(len(self._data), 4)
        count = self._bytes(len(entries), 2)
        return b"".join([head, self._data[8:], count, table, bytes(4), beyond])

    def _short(self, entry: TiffEntry) -> bytes:
        """Return the values of an entry, 64-bit numbers as 32-bit ones."""
        content = self._data[entry.start : entry.start + entry.width * entry.count]
        if entry.kind not in (16, 17, 18):
            return content
        low = slice(0, 4) if self.order == "little" else slice(4, 8)
        return b"".join(content[at : at + 8][low] for at in range(0, len(content), 8))

    def _bytes(self, number: int, width: int) -> bytes:
        return (number & ((1 << 8 * width) - 1)).to_bytes(width, self.order)


def open_tiff(source: bytes) -> ImageFile.ImageFile:
    """Return Pillow's image of a TIFF file, not loaded yet.

    Its `info` has `WHITE_IS_ZERO`, `UNSIGNED` and `BITS` if they apply to its values.

    Raises:
        ImageError: Its compression is not available.
        Exception: Whatever Pillow raises for broken content.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    directory = Directory(source)
    if not directory.complete:
        raise OSError("truncated")
    if directory.is_big and directory.order == "big" and not directory.ends_early():
        return open_tiff(directory.as_classic())
    silence_libtiff()
    _check_compression(directory.value(_COMPRESSION, _UNCOMPRESSED))
    bits, white_is_zero = directory.value(_BITS, 1), directory.value(_PHOTOMETRIC, 1) == 0
    single = directory.value(_SAMPLES, 1) == 1
    if single and directory.value(_PLANES, 1) == 2:  # the same with one value per pixel
        return open_tiff(directory.with_value(_PLANES, 1))
    unsigned = directory.value(_SAMPLE_FORMAT, 1) != 2  # white is undefined for signed values
    inverted = single and white_is_zero and bits > 8 and unsigned
    if inverted:  # Pillow supports more formats with black as zero
        source = directory.with_value(_PHOTOMETRIC, 1)
    image = TiffImageFile(BytesIO(source))
    image.info[WHITE_IS_ZERO] = inverted
    image.info[UNSIGNED] = bits == 32 and directory.value(_SAMPLE_FORMAT, 1) == 1
    image.info[BITS] = bits
    image.tile = [_mended(tile, image, directory) for tile in image.tile]
    return image


def planes_of(source: bytes) -> list[bytes] | None:
    """Return each plane of an intact planar file as a gray file; None for any other file."""
    directory = Directory(source)
    samples = directory.value(_SAMPLES, 1)
    if directory.value(_PLANES, 1) != 2 or samples < 2:
        return None
    for tag in (_PLANES, _SAMPLES, _PHOTOMETRIC):
        source = Directory(source).with_value(tag, 1)
    directory, blocks = Directory(source), [tag for pair in _BLOCKS for tag in pair]
    planes = []
    for plane in range(samples):
        entries = []
        for tag, entry in directory.entries.items():
            if tag in blocks:
                count = entry.count // samples
                start = entry.start + plane * count * entry.width
                entries.append(replace(entry, start=start, count=count))
            elif tag != _EXTRA_SAMPLES:
                one = tag in (_BITS, _SAMPLE_FORMAT)
                entries.append(replace(entry, count=1) if one else entry)
        planes.append(directory.as_classic(entries))
    return planes


def _mended(tile: Any, image: ImageFile.ImageFile, directory: Directory) -> Any:
    """Return a tile whose values are read in the file's byte order."""
    mode, compressed = tile.args[0], directory.value(_COMPRESSION, 1) != _UNCOMPRESSED
    if compressed and mode in ("F;32BF", "I;32BS", "I;16BS") and sys.byteorder == "little":
        # libtiff returns them in this machine's byte order
        mode = f"{mode[:-2]}N{mode[-1]}"
    in_planes = directory.value(_PLANES, 1) == 2 and not compressed
    if in_planes and directory.value(_BITS, 8) == 16:
        mode = f"{mode[0]};16{'L' if directory.order == 'little' else 'B'}"
    return tile._replace(args=(mode, *tile.args[1:]))


def _check_compression(number: int) -> None:
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    library = _libtiff()
    known = number in COMPRESSION_INFO
    if known and number != _UNCOMPRESSED and library is not None:
        known = bool(library.TIFFIsCODECConfigured(ctypes.c_uint16(number)))
    if not known:
        named = f"{_NAMES[number]} compression" if number in _NAMES else f"compression {number}"
        fix = "convert it to JPEG or PNG"
        raise ImageError("unsupported", f"TIFF files with {named} cannot be decoded: {fix}")


@cache
def silence_libtiff() -> None:
    """Keep libtiff from writing to standard error; the exception has the reason."""
    library = _libtiff()
    if library is not None:
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)


@lru_cache(maxsize=1)
def _libtiff() -> ctypes.CDLL | None:
    """Return the libtiff that Pillow has loaded, None if it cannot be found."""
    from PIL import Image

    Image.core  # type: ignore[attr-defined]  # noqa: B018 -- loads it
    folder = Path(PIL.__file__).parent
    found = [*folder.parent.glob("pillow.libs/libtiff*"), *folder.glob(".dylibs/libtiff*")]
    only_if_loaded = getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_LAZY", 0)
    for name in (*map(str, found), "libtiff.so.6", "libtiff.so.5", "libtiff.6.dylib"):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(name, mode=only_if_loaded)
            library.TIFFIsCODECConfigured.argtypes = [ctypes.c_uint16]
            return library
    return None
