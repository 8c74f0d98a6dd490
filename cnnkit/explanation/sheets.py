"""Sheets of small images with a caption each, and images as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.data.contact_sheet import MUTED, PAGE, TEXT
from cnnkit.images.prepare import PAD_VALUE
from cnnkit.writers.replacing import replacing
from cnnkit.writers.targets import target_file

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
GAP, MARGIN, CAPTION, TITLE = 10, 24, 20, 48
QUALITY = 90


class SheetTile(NamedTuple):
    """One image of a sheet.

    Attributes:
        pixels: Uint8 RGB (height, width, 3), at most as large as the sheet's cells.
        caption: A few characters.
    """

    pixels: np.ndarray
    caption: str


def sheet(tiles: Sequence[SheetTile], title: str, note: str, columns: int) -> np.ndarray:
    """Return a sheet of tiles, row by row.

    Args:
        tiles: At least one.
        title: Title of the sheet.
        note: Beside the title, smaller.
        columns: Tiles a row, at least 1.

    Returns:
        Uint8 RGB (height, width, 3).
    """
    high = max(tile.pixels.shape[0] for tile in tiles)
    wide = max(tile.pixels.shape[1] for tile in tiles)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    size = (
        2 * MARGIN + columns * wide + (columns - 1) * GAP,
        TITLE + rows * (high + CAPTION + GAP) + MARGIN - GAP,
    )
    page = Image.new("RGB", size, PAGE)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(18)
    draw.text((MARGIN, 14), title, fill=TEXT, font=font)
    after = MARGIN + draw.textlength(title, font=font) + 12
    draw.text((after, 19), note, fill=MUTED, font=ImageFont.load_default(13))
    small = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        left = MARGIN + number % columns * (wide + GAP)
        top = TITLE + number // columns * (high + CAPTION + GAP)
        page.paste(Image.fromarray(tile.pixels), (left, top))
        place = (left + wide / 2, top + high + 3)
        draw.text(place, tile.caption, fill=MUTED, font=small, anchor="ma")
    return np.asarray(page)


def square(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return an image within a square, gray beside it, uint8 RGB (side, side, 3)."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    inner = cv2.resize(pixels, size, interpolation=method)
    tile = np.full((side, side, 3), PAD_VALUE, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = inner
    return tile


def enlarged(pixels: np.ndarray, least: int) -> np.ndarray:
    """Return a small image with every pixel as a block, at least so large."""
    factor = max(1, -(-least // max(pixels.shape[:2])))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def check_image_target(option: str, path: Path, overwrite: bool) -> None:
    """Refuse a file that cannot be written as an image, before the work begins.

    Raises:
        UsageError: Another suffix, no such folder, or something is there that must stay.
    """
    endings = f"one of {', '.join(FORMATS)}"
    target_file(option, path, tuple(FORMATS), overwrite=overwrite, endings=endings)


def encoded(pixels: np.ndarray, form: str, quality: int = QUALITY) -> bytes:
    """Return an image as the content of a file of the form ``PNG``, ``JPEG`` or ``WEBP``."""
    buffer = io.BytesIO()
    options = {} if form == "PNG" else {"quality": quality}
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image in the form of its suffix, whole or not at all.

    Raises:
        OutputError: The output cannot be written.
    """
    with replacing(path) as file:
        file.write(encoded(pixels, FORMATS[path.suffix.lower()]))
