"""Tells whether a file holds more than the one image that is decoded."""

from __future__ import annotations

from typing import Any

from PIL import Image

from cnnkit.errors import ImageError
from cnnkit.images.camera_raw import content_format
from cnnkit.images.decode import opened
from cnnkit.images.png import open_png

_WITH_FRAMES = ("GIF", "WebP", "PNG", "TIFF", "AVIF")
# Of the pages of a TIFF file: more than that are taken for pages of their own.
_MAX_REDUCED = 32
_SUBFILE_TYPE, _REDUCED = 254, 1
# What Pillow raises for frames that are broken, or are not there.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError),
    *(AttributeError, AssertionError, RuntimeError, Image.DecompressionBombError),
)


def has_more_frames(source: bytes) -> bool:
    """Return whether a file has frames or pages besides the first.

    Smaller copies of the same image, as a TIFF file may have, do not count, nor does what cannot
    be read.

    Args:
        source: A file that `cnnkit.images.decode.open_image` has accepted.
    """
    name = content_format(source)
    if name not in _WITH_FRAMES or (name == "PNG" and b"acTL" not in source):
        return False
    try:
        if name == "TIFF":
            return _has_pages(opened(source, name))
        image = open_png(source, animated=True) if name == "PNG" else opened(source, name)
        return bool(getattr(image, "is_animated", False))
    except (ImageError, *_BROKEN):
        return False


def _has_pages(image: Any) -> bool:
    for number in range(1, _MAX_REDUCED):
        image.seek(number)  # an `EOFError` behind the last
        if not int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED:
            return True
    return True
