"""Opens JPEG 2000 files with Pillow, and gives it their color profile, which it ignores."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from PIL import ImageFile

from cnnkit.images.color import MAX_PROFILE_BYTES

# The kind of a box of colors that holds an ICC profile (ISO/IEC 15444-1, I.5.3.3).
_WITH_PROFILE = (2, 3)
_MOST_BOXES = 100


def open_jpeg2000(source: bytes) -> ImageFile.ImageFile:
    """Return Pillow's image of a JPEG 2000 file, not loaded yet, with its color profile.

    Raises:
        Exception: Whatever Pillow raises for broken content.
    """
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    image = Jpeg2KImageFile(BytesIO(source))
    profile = _profile(source)
    image.info |= {} if profile is None else {"icc_profile": profile}
    return image


def _profile(source: bytes) -> bytes | None:
    """Return the ICC profile of a file, None if it has none, or a broken one."""
    for kind, content in _boxes(source):
        if kind == b"jp2h":
            for part, colors in _boxes(content):
                if part == b"colr" and colors[:1] and colors[0] in _WITH_PROFILE:
                    return colors[3:] if len(colors) <= MAX_PROFILE_BYTES else None
            return None
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box (ISO/IEC 15444-1, I.4)."""
    position = 0
    for _ in range(_MOST_BOXES):
        size, start = int.from_bytes(data[position : position + 4], "big"), position + 8
        kind = data[position + 4 : start]
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        if size < start - position or kind == b"jp2c":  # what follows are the pixels
            return
        yield kind, data[start : position + size]
        position += size
