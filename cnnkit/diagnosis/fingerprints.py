"""Reads every image of a set once and keeps a few hundred bytes of each: its fingerprint."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images import DEFAULT_MAX_PIXELS, read_bytes
from cnnkit.images.camera_raw import content_format
from cnnkit.images.decode import open_image
from cnnkit.images.frames import has_more_frames
from cnnkit.images.sniff import DECODED
from cnnkit.results import Failure
from cnnkit.runtime.process import available_cpus
from cnnkit.writers.row_files import batched

# The gray image that the perceptual hash is made of, and the thumbnail kept to confirm it.
HASHED_SIDE = 32
THUMBNAIL_SIDE = 16
# A JPEG is decoded at a reduced scale as long as both sides are at least this: twice the
# hashed side, so that what is averaged away does not depend on the scale.
DECODED_SIDE = 64
BATCH = 512

_ORIENTATION_TAG = 0x0112
# Where EXIF data begins, in the first bytes of a JPEG, PNG or WebP file.
_EXIF_MARKS = ((b"Exif\0\0", 6), (b"eXIf", 4), (b"EXIF", 8))
_EXIF_SEARCH = 1 << 18


class Fingerprint(NamedTuple):
    """What is kept of one image.

    Attributes:
        sha256: SHA-256 of the file's content, 32 bytes.
        bytes: Size of that content.
        height: Height of the upright image in pixels.
        width: Width of the upright image in pixels.
        format: One of `cnnkit.images.sniff.DECODED`.
        rotated: Whether its EXIF data turn or mirror it.
        deviation: Standard deviation of its gray levels (0-255) at 32 x 32; 0 is blank.
        hash: The perceptual hash, 64 bits.
        mirrored_hash: That of the mirrored image.
        thumbnail: Gray, uint8 (16, 16).
        more_frames: Whether the file has frames or pages besides the first, of which alone the
            hashes and the thumbnail are.
    """

    sha256: bytes
    bytes: int
    height: int
    width: int
    format: str
    rotated: bool
    deviation: float
    hash: int
    mirrored_hash: int
    thumbnail: np.ndarray
    more_frames: bool


@dataclass
class Fingerprints:
    """The fingerprints of a set as arrays, about 350 bytes per image.

    An image that could not be read has zeros everywhere and an entry in ``failures``.

    Attributes:
        sha256: uint8 (images, 32).
        bytes: Size of the content, int64 (images,).
        sizes: Height and width in pixels, int32 (images, 2).
        formats: Places in `DECODED`, int8 (images,); -1 where unreadable.
        rotated: bool (images,).
        deviations: float32 (images,).
        hashes: uint64 (images,).
        mirrored_hashes: uint64 (images,).
        thumbnails: uint8 (images, 256).
        more_frames: bool (images,).
        failures: Index to what is wrong.
    """

    sha256: np.ndarray
    bytes: np.ndarray
    sizes: np.ndarray
    formats: np.ndarray
    rotated: np.ndarray
    deviations: np.ndarray
    hashes: np.ndarray
    mirrored_hashes: np.ndarray
    thumbnails: np.ndarray
    more_frames: np.ndarray
    failures: dict[int, Failure] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int) -> Fingerprints:
        """Return room for `count` images."""
        return cls(
            np.zeros((count, 32), np.uint8),
            np.zeros(count, np.int64),
            np.zeros((count, 2), np.int32),
            np.full(count, -1, np.int8),
            np.zeros(count, bool),
            np.zeros(count, np.float32),
            np.zeros(count, np.uint64),
            np.zeros(count, np.uint64),
            np.zeros((count, THUMBNAIL_SIDE**2), np.uint8),
            np.zeros(count, bool),
        )

    def put(self, index: int, one: Fingerprint) -> None:
        """Keep one image's fingerprint."""
        self.sha256[index] = np.frombuffer(one.sha256, np.uint8)
        self.bytes[index] = one.bytes
        self.sizes[index] = one.height, one.width
        self.formats[index] = DECODED.index(one.format)
        self.rotated[index] = one.rotated
        self.deviations[index] = one.deviation
        self.hashes[index] = one.hash
        self.mirrored_hashes[index] = one.mirrored_hash
        self.thumbnails[index] = one.thumbnail.reshape(-1)
        self.more_frames[index] = one.more_frames

    @property
    def readable(self) -> np.ndarray:
        """Which images could be read, bool (images,)."""
        return self.formats >= 0

    def hexadecimal(self, index: int) -> str:
        """Return the SHA-256 of an image's content as text."""
        return self.sha256[index].tobytes().hex()


def read_fingerprints(
    paths: Sequence[str],
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> Fingerprints:
    """Read every file once and return what is kept of it.

    Args:
        paths: The images.
        max_pixels: A larger image is a failure.
        workers: Threads, one per CPU by default.
        progress: Called after each image.
    """
    result = Fingerprints.empty(len(paths))

    def read(item: tuple[int, str]) -> tuple[int, Fingerprint | Failure]:
        """Return an image's number and its fingerprint, or why there is none."""
        try:
            return item[0], fingerprint(read_bytes(item[1]), max_pixels)
        except ImageError as error:
            return item[0], Failure(error.kind, error.message)

    with ThreadPoolExecutor(workers or available_cpus()) as pool:
        for batch in batched(enumerate(paths), BATCH):
            for index, one in pool.map(read, batch):
                if isinstance(one, Failure):
                    result.failures[index] = one
                else:
                    result.put(index, one)
                if progress is not None:
                    progress()
    return result


def fingerprint(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Fingerprint:
    """Return the fingerprint of one file's content.

    Raises:
        ImageError: It is no image that can be decoded.
    """
    image = open_image(
        data, max_pixels=max_pixels, at_least=lambda height, width: (DECODED_SIDE, DECODED_SIDE)
    )
    gray = image.image.convert("L")
    side = (HASHED_SIDE, HASHED_SIDE)
    small = np.asarray(gray.resize(side, Image.Resampling.BOX), np.float32)
    hashed, mirrored = perceptual_hashes(small)
    half = HASHED_SIDE // THUMBNAIL_SIDE
    thumbnail = small.reshape(THUMBNAIL_SIDE, half, THUMBNAIL_SIDE, half).mean((1, 3))
    return Fingerprint(
        hashlib.sha256(data).digest(),
        len(data),
        image.height,
        image.width,
        content_format(data) or "",
        is_rotated(data),
        float(small.std()),
        hashed,
        mirrored,
        np.rint(thumbnail).astype(np.uint8),
        has_more_frames(data),
    )


def _cosines() -> np.ndarray:
    """Return the first 8 rows of the discrete cosine transform (DCT-II), (8, 32)."""
    frequency = np.arange(8)[:, None]
    place = np.arange(HASHED_SIDE)[None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * HASHED_SIDE)).astype(np.float32)


_COSINES = _cosines()
# Mirroring an image turns the sign of its odd horizontal frequencies.
_MIRROR = np.where(np.arange(8) % 2, -1, 1).astype(np.float32)


def perceptual_hashes(gray: np.ndarray) -> tuple[int, int]:
    """Return the perceptual hash of an image and that of its mirror image.

    Bit n says whether the n-th of the 64 lowest frequencies (row by row) of the cosine
    transform lies above their median; the mean's own bit is 0. Rescaling, recompression and
    a change of brightness or contrast turn few bits; other images differ in about 32.

    Args:
        gray: float32 (32, 32), 0-255.

    Returns:
        Two numbers of 64 bits, the first frequency in the highest bit.
    """
    frequencies = _COSINES @ gray @ _COSINES.T  # (8, 8)
    return _bits(frequencies), _bits(frequencies * _MIRROR)


def _bits(frequencies: np.ndarray) -> int:
    values = frequencies.reshape(-1)
    above = values > np.median(values[1:])
    above[0] = False
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def is_rotated(data: bytes) -> bool:
    """Return whether a file's EXIF data say that viewers have to turn or mirror it."""
    head = data[:_EXIF_SEARCH]
    for mark, skipped in _EXIF_MARKS:
        place = head.find(mark)
        if place >= 0:
            return _orientation(head[place + skipped :]) in range(2, 9)
    return False


def _orientation(exif: bytes) -> int:
    """Return the orientation that EXIF data name, 1 (upright) where there is none.

    Read here, because Pillow writes a warning to standard error for each broken file.

    Args:
        exif: From its byte order mark on; what follows the data does no harm.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    count = int.from_bytes(exif[start : start + 2], "little" if order == "<" else "big")
    entries = exif[start + 2 : start + 2 + 12 * count]
    for place in range(0, len(entries) - 11, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", entries, place)
        if tag == _ORIENTATION_TAG:
            return value
    return 1
