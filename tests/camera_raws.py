"""Raw files of cameras as far as they are read here: a thumbnail, a sensor's values, a preview."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

# Formats of the types of TIFF: BYTE, ASCII, SHORT, LONG.
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I"}
Entry = tuple[int, int, Sequence[int] | bytes]


def picture(width: int = 1200, height: int = 800) -> np.ndarray:
    """Return what the camera saw, uint8 (height, width, 3): no two corners are alike."""
    rows, columns = np.linspace(20, 230, height)[:, None], np.linspace(20, 230, width)[None]
    return np.stack(np.broadcast_arrays(rows, columns, rows - columns / 2), -1).astype(np.uint8)


def as_jpeg(pixels: np.ndarray, **options: object) -> bytes:
    """Return the content of a JPEG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


PREVIEW = as_jpeg(picture())
THUMBNAIL = as_jpeg(picture(160, 120))


class Tiff:
    """A file of TIFF's form that is put together piece by piece."""

    def __init__(self, order: str = "<", magic: bytes = b"*\0") -> None:
        """Begin with its header, whose offset `content` fills in."""
        self.order = order
        self.head = (b"II" if order == "<" else b"MM") + (magic if order == "<" else magic[::-1])
        self.body = b""

    def put(self, data: bytes) -> int:
        """Append something and return its offset."""
        place = 8 + len(self.body)
        self.body += data + bytes(len(data) % 2)
        return place

    def directory(self, entries: Sequence[Entry], following: int = 0) -> int:
        """Append a directory and return its offset."""
        cells = b""
        for tag, kind, values in sorted(entries):
            data = (
                values
                if isinstance(values, bytes)
                else struct.pack(f"{self.order}{len(values)}{_TYPES[kind]}", *values)
            )
            count = len(values)
            cell = data if len(data) <= 4 else struct.pack(f"{self.order}I", self.put(data))
            cells += struct.pack(f"{self.order}HHI", tag, kind, count) + cell.ljust(4, b"\0")
        count = struct.pack(f"{self.order}H", len(entries))
        return self.put(count + cells + struct.pack(f"{self.order}I", following))

    def content(self, first: int) -> bytes:
        """Return the file, with the offset of its first directory."""
        return self.head + struct.pack(f"{self.order}I", first) + self.body


def raw_file(
    *previews: bytes,
    orientation: int = 1,
    by: str = "strips",
    order: str = "<",
    marks: Sequence[Entry] = ((50706, 1, (1, 4, 0, 0)),),
    magic: bytes = b"*\0",
    lead: bytes = b"",
) -> bytes:
    """Return a file like those of most cameras: DNG, NEF, ARW, PEF.

    Args:
        previews: JPEG files.
        orientation: Of EXIF, in the first directory.
        by: Whether a preview is in ``strips``, or ``named`` by its offset.
        order: ``<`` or ``>``.
        marks: More entries of the first directory; by default, what makes it a DNG.
        magic: The number behind the order of the bytes.
        lead: What follows the header.
    """
    tiff = Tiff(order, magic)
    tiff.put(lead)
    values = np.arange(24 * 16, dtype=f"{order}u2").tobytes()
    sensor = [(256, 4, (24,)), (257, 4, (16,)), (258, 3, (16,)), (259, 3, (1,)), (262, 3, (32803,))]
    sensor += [(273, 4, (tiff.put(values),)), (277, 3, (1,)), (278, 4, (16,))]
    subs = [tiff.directory([(254, 4, (0,)), *sensor, (279, 4, (len(values),))])]
    for jpeg in previews:
        place = (tiff.put(jpeg),), (len(jpeg),)
        tags = (273, 279) if by == "strips" else (513, 514)
        entries = [(254, 4, (1,)), (259, 3, (7,)), (262, 3, (6,))]
        entries += [(tag, 4, number) for tag, number in zip(tags, place, strict=True)]
        subs.append(tiff.directory(entries))
    small = np.full((12, 16, 3), 77, np.uint8).tobytes()
    main = [(254, 4, (1,)), (256, 4, (16,)), (257, 4, (12,)), (258, 3, (8, 8, 8)), (259, 3, (1,))]
    main += [(262, 3, (2,)), (271, 2, b"Maker\0"), (273, 4, (tiff.put(small),)), (277, 3, (3,))]
    main += [(274, 3, (orientation,)), (278, 4, (12,)), (279, 4, (len(small),)), (330, 4, subs)]
    return tiff.content(tiff.directory([*main, *marks]))


def fuji_file(preview: bytes) -> bytes:
    """Return a file of Fujifilm's, which says where its JPEG is."""
    head = b"FUJIFILMCCD-RAW 0201".ljust(84, b" ") + struct.pack(">II", 160, len(preview))
    return head.ljust(160, b"\0") + preview + bytes(5000)


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of ISO/IEC 14496-12."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def canon_boxes(preview: bytes, orientation: int = 1) -> bytes:
    """Return a CR3 file: tracks of one sample each, the first of which is a JPEG."""
    tiff = Tiff()
    facts = tiff.content(tiff.directory([(274, 3, (orientation,))]))
    samples = [preview, b"\0CRX" * 500]

    def whole(places: Sequence[int]) -> bytes:
        tracks = b"".join(
            box(b"trak", box(b"mdia", box(b"minf", box(b"stbl",
                box(b"stsz", struct.pack(">III", 0, len(sample), 1)),
                box(b"co64", struct.pack(">IIQ", 0, 1, place)),
            ))))
            for sample, place in zip(samples, places, strict=True)
        )  # fmt: skip
        identity = box(b"uuid", bytes(range(16)), box(b"CNCV", b"x" * 30), box(b"CMT1", facts))
        return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", identity, tracks)

    start = len(whole((0, 0))) + 8
    return whole((start, start + len(preview))) + box(b"mdat", *samples)
