"""The photos in the raw files of cameras, as the cameras developed them.

What a raw file holds is no photo yet. Beside it, cameras store the photo that they show, as a JPEG
of the full size or near it; it is what viewers show, too. By their form most raw files are
TIFF files, whose readers give the first image instead: a thumbnail of 160 x 120 pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images.sniff import HEADER_BYTES, RAW, image_format
from cnnkit.images.tiff import Directory

# A smaller preview does not stand for the photo: a network for objects sees 640 pixels.
LEAST_SIDE = 1000

# A file may have any number of them, and point in circles.
_MOST_DIRECTORIES, _MOST_BOXES = 64, 10_000
_SUBFILE_TYPE, _REDUCED = 254, 1
_COMPRESSION, _PHOTOMETRIC, _MAKE, _ORIENTATION, _SUB_DIRECTORIES = 259, 262, 271, 274, 330
_STRIPS, _STRIP_SIZES, _JPEG, _JPEG_SIZE = 273, 279, 513, 514
_DNG_VERSION, _PANASONIC_JPEG = 50706, 46
_JPEG_COMPRESSIONS = (6, 7)
# Color filter array, and linear raw: values of a sensor.
_SENSOR = (32803, 34892)
# Of Canon and of Phase One: behind the header of TIFF.
_MARKS = ((8, b"CR"), (8, b"IIII"))
# A file of Fujifilm says where its JPEG is, as two numbers.
_FUJI, _FUJI_PLACE = b"FUJIFILMCCD-RAW", 84
# Boxes of a file of Canon's that hold others; one of them has an identity of so many bytes first.
_CONTAINERS, _IDENTITY = (b"moov", b"uuid", b"trak", b"mdia", b"minf", b"stbl"), 16
# EXIF with the orientation alone, which a number completes.
_EXIF = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error)


def content_format(source: bytes) -> str | None:
    """Return the format of a file, as `image_format` does, or `RAW`, which may need all of it."""
    name = image_format(source[:HEADER_BYTES])
    return RAW if name == "TIFF" and _is_of_a_sensor(source) else name


def _is_of_a_sensor(source: bytes) -> bool:
    """Return whether a TIFF file is the raw file of a camera."""
    if any(source[place : place + len(mark)] == mark for place, mark in _MARKS):
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
    best, width, height = b"", 0, 0
    for jpeg in _jpegs(source):
        size = _size(jpeg)
        if size is not None and size[0] * size[1] > width * height:
            best, (width, height) = jpeg, size
    if max(width, height) < LEAST_SIDE:
        least = f"without a preview of {LEAST_SIDE:,} pixels or more"
        message = f"it is the raw file of a camera {least}: convert it to JPEG or PNG"
        raise ImageError("unsupported", message)
    return best


def _jpegs(source: bytes) -> Iterator[bytes]:
    if source.startswith(_FUJI):  # it has EXIF of its own
        start, size = struct.unpack_from(">II", source.ljust(_FUJI_PLACE + 8, b"\0"), _FUJI_PLACE)
        yield source[start : start + size]
        return
    if source[4:8] == b"ftyp":
        yield from _of_boxes(source)
        return
    turn = Directory(source).value(_ORIENTATION, 1)
    for directory in _directories(source):
        for start, size in _places(directory):
            yield _turned(source[start : start + size], turn)


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


def _size(jpeg: bytes) -> tuple[int, int] | None:
    """Return the width and height of a JPEG; None for anything else, such as a sensor's values."""
    from PIL.JpegImagePlugin import JpegImageFile

    if not jpeg.startswith(b"\xff\xd8\xff"):
        return None
    try:
        image = JpegImageFile(BytesIO(jpeg))
    except (*_BROKEN, Image.DecompressionBombError):
        return None
    return image.size if image.mode == "RGB" else None


def _turned(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation, which comes before one of its own."""
    if not 2 <= orientation <= 8 or not jpeg.startswith(b"\xff\xd8"):
        return jpeg
    return jpeg[:2] + _EXIF + struct.pack(">HHI", orientation, 0, 0) + jpeg[2:]


def _of_boxes(source: bytes) -> Iterator[bytes]:
    """Yield the JPEG among the tracks of a file of Canon's, of the form of ISO/IEC 14496-12."""
    turn, sizes = 1, []
    for path, start, end in islice(_boxes(source, 0, len(source), ()), _MOST_BOXES):
        if path[-1] == b"CMT1":  # what the first directory of a TIFF file says
            turn = Directory(source[start:end]).value(_ORIENTATION, 1)
        elif path[-1] == b"stsz":  # all samples of a track have this size
            sizes.append(int.from_bytes(source[start + 4 : start + 8], "big"))
        elif path[-1] == b"co64" and sizes:
            place = int.from_bytes(source[start + 8 : start + 16], "big")
            if source[place : place + 3] == b"\xff\xd8\xff":
                yield _turned(source[place : place + sizes[-1]], turn)


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
