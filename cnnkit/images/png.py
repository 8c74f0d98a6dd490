"""Opens PNG files with Pillow, passing it only the chunks that the image needs.

Pillow refuses files that every viewer shows: with a megabyte of text, as image generators write
it, with a large color profile, or with a wrong checksum of an ancillary chunk. libpng warns about
such a chunk and ignores it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile

from cnnkit.images.coded_colors import CODES, ColorCodes
from cnnkit.images.color import MAX_PROFILE_BYTES

_SIGNATURE_BYTES = 8
# Keywords of the texts that may contain EXIF.
_TURNING_TEXTS = ("Raw profile type exif", "XML:com.adobe.xmp")
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
# The part of a text that is read.
_MAX_TEXT_BYTES = 4 * 1024**2
# Bytes of `tRNS` by color type; for a palette, at most its number of entries.
_TRANSPARENCY_BYTES = {0: 2, 2: 6, 3: 1}


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file.

    Attributes:
        kind: Four letters; the first is lower case if the chunk is ancillary.
        start: Offset of its length field in the file.
        end: After its checksum.
    """

    kind: bytes
    start: int
    end: int

    @property
    def is_needed(self) -> bool:
        """Whether the image cannot be decoded without it."""
        return self.kind[:1].isupper()


def open_png(source: bytes, *, animated: bool = False) -> ImageFile.ImageFile:
    """Return Pillow's image of a PNG file, not loaded yet, with its color profile.

    Ancillary chunks are omitted unless they are intact and hold the colors, the transparency or
    the orientation.

    Args:
        source: The file.
        animated: Whether the further frames of an animation are kept, too.

    Raises:
        Exception: Whatever Pillow raises for broken content.
    """
    from PIL.PngImagePlugin import PngImageFile

    kept: list[Chunk] = []
    later: list[Chunk] = []
    end = _SIGNATURE_BYTES
    facts: dict[str, Any] = {}
    before_pixels = True
    for chunk in _chunks(source):
        end = chunk.end
        before_pixels = before_pixels and chunk.kind != b"IDAT"
        if chunk.is_needed or (animated and chunk.kind in _ANIMATION and _is_sound(source, chunk)):
            (kept if before_pixels else later).append(chunk)
        elif _is_sound(source, chunk):
            content = source[chunk.start + 8 : chunk.end - 4]
            if chunk.kind == b"cICP" and before_pixels:
                facts[CODES] = _codes(content)
            elif chunk.kind == b"iCCP":
                facts["icc_profile"] = _profile(content)
            elif chunk.kind in (b"tEXt", b"zTXt", b"iTXt"):
                facts |= _turning_text(chunk.kind, content)
            elif chunk.kind == b"eXIf" or (before_pixels and _is_transparency(source, chunk)):
                kept.append(chunk)
    if facts.get(CODES) is not None:  # they come before a profile (PNG, third edition, 4.3)
        facts["icc_profile"] = None
    view = memoryview(source)
    parts = [view[chunk.start : chunk.end] for chunk in (*kept, *later)]
    # A truncated chunk is left to the decoder, which reports it.
    image = PngImageFile(BytesIO(b"".join([view[:_SIGNATURE_BYTES], *parts, view[end:]])))
    image.info |= {name: fact for name, fact in facts.items() if fact is not None}
    return image


def may_be_turned(image: Image.Image) -> bool:
    """Return whether an image of `open_png` says anything about its orientation."""
    return any(name in image.info for name in ("exif", *_TURNING_TEXTS))


def _chunks(source: bytes) -> Iterator[Chunk]:
    """Yield the complete chunks of a file, up to its end mark."""
    start, kind = _SIGNATURE_BYTES, b""
    while start + 12 <= len(source) and kind != b"IEND":
        end = start + 12 + int.from_bytes(source[start : start + 4], "big")
        kind = source[start + 4 : start + 8]
        if end > len(source):
            return
        yield Chunk(kind, start, end)
        start = end


def _is_sound(source: bytes, chunk: Chunk) -> bool:
    """Return whether a chunk's checksum is correct."""
    found = zlib.crc32(memoryview(source)[chunk.start + 4 : chunk.end - 4])
    return found == int.from_bytes(source[chunk.end - 4 : chunk.end], "big")


def _is_transparency(source: bytes, chunk: Chunk) -> bool:
    """Return whether a chunk gives the transparency completely."""
    length, color = chunk.end - chunk.start - 12, source[25] if len(source) > 25 else 0
    return chunk.kind == b"tRNS" and length >= _TRANSPARENCY_BYTES.get(color, length + 1)


def _turning_text(kind: bytes, content: bytes) -> dict[str, str]:
    """Return a text that may contain EXIF, by its keyword; {} for any other."""
    keyword, _, text = content.partition(b"\0")
    name = keyword.decode("latin-1")
    if name not in _TURNING_TEXTS:
        return {}
    packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    if kind == b"zTXt":
        text = text[1:]
    elif kind == b"iTXt":  # two numbers, then the language and the keyword in it
        text = b"".join(text[2:].split(b"\0", 2)[2:])
    unpacked = _unpacked(text, _MAX_TEXT_BYTES) if packed else text[:_MAX_TEXT_BYTES]
    return {name: (unpacked or b"").decode("utf-8", "replace")}


def _codes(content: bytes) -> ColorCodes | None:
    """Return the codes of a cICP chunk, None if it codes other values than full RGB."""
    if len(content) != 4 or content[2:] != b"\0\1":
        return None
    return ColorCodes(content[0], content[1])


def _profile(content: bytes) -> bytes | None:
    """Return the color profile of an iCCP chunk, None if it is broken or too large."""
    name_end = content.find(b"\0")
    if name_end < 0 or content[name_end + 1 : name_end + 2] != b"\0":
        return None
    profile = _unpacked(content[name_end + 2 :], MAX_PROFILE_BYTES + 1)
    return profile if profile and len(profile) <= MAX_PROFILE_BYTES else None


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """Return decompressed bytes, up to a limit; None if they are broken."""
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        return None
