"""Identifies a file by its first bytes, never by its name."""

from __future__ import annotations

import os
import re

HEADER_BYTES = 64

# Formats that are decoded, and those that are only recognized to be named in the error.
RAW = "camera raw"
DECODED = ("JPEG", "PNG", "WebP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "HEIC", RAW, "JPEG 2000")
RECOGNIZED = ("JPEG XL", "Photoshop", "icon", "SVG")

# Of the raw files of cameras.
RAW_SUFFIXES = tuple(
    ".dng .nef .nrw .cr2 .cr3 .crw .arw .sr2 .raf .rw2 .orf .pef .srw .x3f .3fr .iiq .mrw".split()
)

# A file with one of these suffixes in a scanned folder always becomes a row, so that a broken
# image is never skipped silently.
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .bmp .dib .tif .tiff .gif .avif .ppm .pgm .pbm .pnm "
    ".heic .heif .hif .jp2 .j2k .j2c .jpx .jpf .jxl".split()
).union(RAW_SUFFIXES)

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0\x08\0\0\0", "TIFF"),  # BigTIFF
    (b"MM\0+\0\x08\0\0", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\x01\0", "icon"),
    # Raw files of cameras that are no TIFF files; those that are, only their content tells apart.
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIU\0", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"\0MRM", RAW),
    (b"FOVb", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW),
    (b"\0\0\0\x18ftypcrx ", RAW),
)
_PORTABLE = re.compile(rb"P[1-6](\s+\d|\s*#)")  # PBM, PGM and PPM, as text or binary
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def image_format(header: bytes) -> str | None:
    """Return the format of an image, one of `DECODED` or `RECOGNIZED`, or None.

    Args:
        header: The first bytes of the file; `HEADER_BYTES` are enough.
    """
    for signature, name in _SIGNATURES:
        if header.startswith(signature):
            return name
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return "WebP"
    if header[:2] == b"BM" and int.from_bytes(header[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if header[4:8] == b"ftyp":
        return _box_format(header)
    if _PORTABLE.match(header):
        return "PPM"
    if header.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<svg"):
        return "SVG"
    return None


def _box_format(header: bytes) -> str | None:
    """Return AVIF or HEIC for an ISO base media file of those brands; videos have others."""
    size = int.from_bytes(header[:4], "big")
    brands = [header[i : i + 4] for i in (8, *range(16, min(size, len(header)), 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "AVIF"
    return "HEIC" if any(brand in _HEIC_BRANDS for brand in brands) else None


# First bytes of containers of videos, by the name of their demuxer in libav. Playlists, which name
# other files, and raw streams, which any file could be, are none.
_CONTAINERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"FLV\x01", "flv"),
    (0, b"OggS", "ogg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (0, b"DKIF", "ivf"),
    (8, b"AVI ", "avi"),
    *((4, box, "mov") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
)
# A packet of MPEG-TS has 188 bytes, each beginning with 0x47; on cameras 4 more precede it.
_TS_PACKETS = ((0, 188), (4, 192))
VIDEO_HEADER_BYTES = 600


def video_format(header: bytes) -> str | None:
    """Return the name of libav's demuxer for the container of a video, or None.

    Args:
        header: The first `VIDEO_HEADER_BYTES` of the file.
    """
    if image_format(header[:HEADER_BYTES]) is not None:
        return None
    for offset, signature, name in _CONTAINERS:
        if header[offset : offset + len(signature)] == signature:
            return name if name != "avi" or header[:4] == b"RIFF" else None
    for first, length in _TS_PACKETS:
        if len(header) > first + 2 * length and header[first::length][:3] == b"GGG":
            return "mpegts"
    return None


def is_image_header(header: bytes) -> bool:
    """Return whether the first bytes of a file are those of a raster image."""
    return image_format(header) not in (None, "icon", "SVG")


def has_image_suffix(name: str) -> bool:
    """Return whether a file's name has an image suffix, in any case."""
    before, dot, suffix = name.rpartition(".")
    if dot + suffix.lower() not in IMAGE_SUFFIXES:
        return False  # nor is what `splitext` returns, which is the same or empty
    # A name that begins with its only dot has no suffix.
    return before[-1:].isalnum() or os.path.splitext(name)[1] != ""


def other_content(header: bytes) -> str:
    """Return what a file that is not an image seems to be, for a message, or ""."""
    start = header.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"%pdf"):
        return "a PDF document"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page"
    if start.startswith((b"pk\x03\x04", b"\x1f\x8b", b"rar!", b"7z\xbc\xaf")):
        return "an archive"
    if header[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3".lower()):
        return "a video"
    if header and not any(byte < 9 or 13 < byte < 32 for byte in header):
        return "text"
    return ""
