"""The photos in the raw files of cameras, as the cameras developed them.

What a raw file holds is no photo yet. Beside it, cameras store the photo that they show, as a JPEG
of the full size or near it; it is what viewers show, too. By their form most raw files are
TIFF files, whose readers give the first image instead: a thumbnail of 160 x 120 pixels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from cnnkit.errors import ImageError
from cnnkit.images.sniff import HEADER_BYTES, RAW, image_format
from cnnkit.images.tiff import Directory

# A smaller preview does not stand for the photo: a network for objects sees 640 pixels.
LEAST_SIDE = 1000

# A file may have any number of them, and point in circles.
_MOST_DIRECTORIES, _MOST_BOXES = 64, 1000
# They may all name the same bytes: of so many JPEGs the headers are read, each of so many segments.
_MOST_JPEGS, _MOST_SEGMENTS = 32, 1000
_SUBFILE_TYPE, _REDUCED = 254, 1
_COMPRESSION, _PHOTOMETRIC, _MAKE, _ORIENTATION, _SUB_DIRECTORIES = 259, 262, 271, 274, 330
_STRIPS, _STRIP_SIZES, _JPEG, _JPEG_SIZE = 273, 279, 513, 514
_DNG_VERSION, _PANASONIC_JPEG = 50706, 46
_JPEG_COMPRESSIONS = (6, 7)
# Color filter array, and linear raw: values of a sensor.
_SENSOR = (32803, 34892)
# Of Canon and of Phase One: behind the header of TIFF. Other files may have their pixels there.
_CANON, _PHASE_ONE = b"CR\2\0", re.compile(rb"IIII.waR", re.DOTALL)
# A file of Fujifilm says where its JPEG is, as two numbers.
_FUJI, _FUJI_PLACE = b"FUJIFILMCCD-RAW", 84
# Boxes of a file of Canon's that hold others; one of them has an identity of so many bytes first.
_CONTAINERS, _IDENTITY = (b"moov", b"uuid", b"trak", b"mdia", b"minf", b"stbl"), 16
# EXIF with the orientation alone, which a number completes.
_EXIF = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff{1,64}([^\x00\xff])")
# Frames that are decoded, and markers without a length (ITU-T T.81, B.1.1.3).
_FRAMES, _SCAN, _BARE = (0xC0, 0xC1, 0xC2), 0xDA, frozenset((*range(0xD0, 0xDA), 0x01))


class _Jpeg(NamedTuple):
    """Where a file has a JPEG, and the EXIF orientation that the file gives it."""

    start: int
    end: int
    turn: int


def content_format(source: bytes) -> str | None:
    """Return the format of a file, as `image_format` does, or `RAW`, which may need all of it."""
    name = image_format(source[:HEADER_BYTES])
    return RAW if name == "TIFF" and _is_of_a_sensor(source) else name


def _is_of_a_sensor(source: bytes) -> bool:
    """Return whether a TIFF file is the raw file of a camera."""
    if source.startswith(_CANON, 8) or _PHASE_ONE.match(source, 8):
        return True
    first = Directory(source)
    if _DNG_VERSION in first.entries or first.value(_PHOTOMETRIC, 0) in _SENSOR:
        return True
    is_thumbnail = bool(first.value(_SUBFILE_TYPE, 0) & _REDUCED)
    return is_thumbnail and _MAKE in first.entries and _SUB_DIRECTORIES in first.entries


def preview_of(source: bytes) -> bytes:
    """Return the content of the largest JPEG in a camera's raw file, to be shown as it says.

    Args:
        source: The file.

    Raises:
        ImageError: It has none, or only a small one.
    """
    best, width, height = _Jpeg(0, 0, 1), 0, 0
    found = (jpeg for jpeg in _jpegs(source) if source.startswith(_START, jpeg.start))
    for jpeg in islice(found, _MOST_JPEGS):
        size = _size(source, jpeg)
        if size is not None and size[0] * size[1] > width * height:
            best, (width, height) = jpeg, size
    if max(width, height) < LEAST_SIDE:
        least = f"without a preview of {LEAST_SIDE:,} pixels or more"
        message = f"it is the raw file of a camera {least}: convert it to JPEG or PNG"
        raise ImageError("unsupported", message)
    return _turned(source[best.start : best.end], best.turn)


def _jpegs(source: bytes) -> Iterator[_Jpeg]:
    """Yield where a file says that JPEGs are, which may be anything."""
    if source.startswith(_FUJI):  # it has EXIF of its own
        start, size = struct.unpack_from(">II", source.ljust(_FUJI_PLACE + 8, b"\0"), _FUJI_PLACE)
        yield _Jpeg(start, start + size, 1)
        return
    if source[4:8] == b"ftyp":
        yield from _of_boxes(source)
        return
    turn = Directory(source).value(_ORIENTATION, 1)
    for directory in _directories(source):
        for start, size in _places(directory):
            yield _Jpeg(start, start + size, turn)


def _directories(source: bytes) -> Iterator[Directory]:
    """Yield all directories of a file of TIFF's form, each once."""
    waiting: list[int | None] = [None]
    seen: set[int | None] = {0}
    while waiting and len(seen) <= _MOST_DIRECTORIES:
        start = waiting.pop(0)
        if start in seen:
            continue
        seen.add(start)
        directory = Directory(source, start)
        yield directory
        waiting += [directory.following, *_few(directory, _SUB_DIRECTORIES)]


def _few(directory: Directory, tag: int) -> list[int]:
    """Return the numbers of an entry, none where they are too many to be meant."""
    entry = directory.entries.get(tag)
    return directory.values(tag) if entry and entry.count <= _MOST_DIRECTORIES else []


def _places(directory: Directory) -> Iterator[tuple[int, int]]:
    """Yield where a directory has a JPEG: its offset and its size."""
    pairs = [(_JPEG, _JPEG_SIZE)]
    is_shown = directory.value(_PHOTOMETRIC, 0) not in _SENSOR
    if is_shown and directory.value(_COMPRESSION, 1) in _JPEG_COMPRESSIONS:
        pairs.append((_STRIPS, _STRIP_SIZES))
    for starts, sizes in pairs:
        start, size = _few(directory, starts), _few(directory, sizes)
        if len(start) == len(size) == 1:
            yield start[0], size[0]
    panasonic = directory.entries.get(_PANASONIC_JPEG)
    if panasonic is not None:
        yield panasonic.start, panasonic.count


def _size(source: bytes, jpeg: _Jpeg) -> tuple[int, int] | None:
    """Return the width and height of a color JPEG; None for others, such as a sensor's values."""
    position, size, end = jpeg.start + 2, None, min(jpeg.end, len(source))
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.match(source, position, end)
        if found is None:
            return None
        kind, position = found.group(1)[0], found.end()
        if kind == _SCAN:
            return size
        if kind in _FRAMES and position + 8 <= end:
            bits, height, width, colors = struct.unpack_from(">BHHB", source, position + 2)
            size = (width, height) if (bits, colors) == (8, 3) else None
        if kind not in _BARE:
            position += max(2, int.from_bytes(source[position : position + 2], "big"))
    return None


def _turned(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation, which comes before one of its own."""
    if not 2 <= orientation <= 8 or not jpeg.startswith(b"\xff\xd8"):
        return jpeg
    return jpeg[:2] + _EXIF + struct.pack(">HHI", orientation, 0, 0) + jpeg[2:]


def _of_boxes(source: bytes) -> Iterator[_Jpeg]:
    """Yield the JPEG among the tracks of a file of Canon's, of the form of ISO/IEC 14496-12."""
    turns: list[int] = []
    sizes: list[int] = []
    for path, start, end in islice(_boxes(source, 0, len(source), ()), _MOST_BOXES):
        if path[-1] == b"CMT1" and not turns:  # what the first directory of a TIFF file says
            turns.append(Directory(source[start:end]).value(_ORIENTATION, 1))
        elif path[-1] == b"stsz":  # all samples of a track have this size
            sizes.append(int.from_bytes(source[start + 4 : start + 8], "big"))
        elif path[-1] == b"co64" and sizes:
            place = int.from_bytes(source[start + 8 : start + 16], "big")
            yield _Jpeg(place, place + sizes[-1], *(turns or [1]))


def _boxes(
    source: bytes, start: int, end: int, above: tuple[bytes, ...]
) -> Iterator[tuple[tuple[bytes, ...], int, int]]:
    """Yield the boxes between two places: the types above and of it, and where its content is."""
    while start + 8 <= end:
        size, head = int.from_bytes(source[start : start + 4], "big"), 8
        kind = source[start + 4 : start + 8]
        if size == 1:
            size, head = int.from_bytes(source[start + 8 : start + 16], "big"), 16
        if size < head:
            return
        inner, after = start + head, min(start + size, end)
        yield (*above, kind), inner, after
        if kind in _CONTAINERS and len(above) < len(_CONTAINERS):
            yield from _boxes(source, inner + _IDENTITY * (kind == b"uuid"), after, (*above, kind))
        start += size
