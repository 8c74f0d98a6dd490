"""Draws a sheet of images: each original, then its augmented versions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.data.augment import Augmenter
from cnnkit.data.box_files import Boxes
from cnnkit.errors import UsageError, broken_rule

CELL = 240
GAP = 14
MARGIN = 28
CAPTION = 24
TITLE = 56
MAX_COLUMNS = 8
MAX_CELLS = 1024

PAGE, PANEL, TEXT, MUTED, ACCENT = "#ffffff", "#eceef2", "#1b1f24", "#59636e", "#2461c9"
# Distinct on light and dark photos; the text color is chosen by their lightness.
BOX_COLORS = ("#ffd400", "#00c2ff", "#ff5c8a", "#5bd75b", "#ff9a3c", "#b48cff", "#f2f2f2")


@dataclass(frozen=True)
class SheetImage:
    """One image of a sheet.

    Attributes:
        name: Caption below it.
        pixels: uint8 RGB (height, width, 3).
        boxes: Boxes in pixels of the image, or None.
    """

    name: str
    pixels: np.ndarray
    boxes: Boxes | None = None


@dataclass(frozen=True)
class _Cell:
    pixels: np.ndarray
    caption: str
    is_original: bool
    boxes: Boxes | None


def contact_sheet(images: Sequence[SheetImage], augmenter: Augmenter, count: int) -> Image.Image:
    """Return a sheet of each image and its versions of the epochs 0 to count - 1.

    Args:
        images: At least one; each is shrunk to a cell before it is augmented.
        augmenter: The augmentation to show.
        count: Versions of each image, at least 1.

    Raises:
        UsageError: There would be too many cells, or the recipe cannot be applied.
    """
    total = len(images) * (count + 1)
    if total > MAX_CELLS:
        rule = f"give at most {MAX_CELLS} cells"
        fix = "Give fewer images or a smaller `count`."
        raise UsageError(broken_rule("the sheet", rule, f"{total:,}", fix))
    rows = _rows(images, augmenter, count)
    columns = max(len(row) for row in rows)
    size = (
        2 * MARGIN + columns * CELL + (columns - 1) * GAP,
        TITLE + len(rows) * (CELL + CAPTION + GAP) + MARGIN - GAP,
    )
    sheet = Image.new("RGB", size, PAGE)
    draw = ImageDraw.Draw(sheet)
    _title(draw, f"{augmenter.recipe.name}", f"seed {augmenter.seed}")
    for number, row in enumerate(rows):
        top = TITLE + number * (CELL + CAPTION + GAP)
        for column, cell in enumerate(row):
            _draw_cell(sheet, draw, cell, MARGIN + column * (CELL + GAP), top)
    return sheet


def _rows(images: Sequence[SheetImage], augmenter: Augmenter, count: int) -> list[list[_Cell]]:
    """Return the rows of cells, with long rows wrapped."""
    columns = min(count + 1, MAX_COLUMNS)
    while (count + 1) % columns and columns > 4:  # full rows look better
        columns -= 1
    rows = []
    for index, image in enumerate(images):
        cells = _cells(image, augmenter, count, index)
        rows += [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return rows


def _cells(image: SheetImage, augmenter: Augmenter, count: int, index: int) -> list[_Cell]:
    pixels, boxes = _shrunk(image)
    cells = [_Cell(pixels, image.name, True, boxes)]
    for epoch in range(count):
        if boxes is None:
            cells.append(_Cell(augmenter(pixels, epoch, index), str(epoch + 1), False, None))
            continue
        drawn, corners, kept = augmenter.with_boxes(pixels, boxes.corners, epoch, index)
        labels = tuple(boxes.labels[number] for number in kept)
        cells.append(_Cell(drawn, str(epoch + 1), False, Boxes(corners, labels)))
    return cells


def _shrunk(image: SheetImage) -> tuple[np.ndarray, Boxes | None]:
    """Return an image and its boxes, scaled to fit a cell."""
    height, width = image.pixels.shape[:2]
    scale = CELL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(image.pixels, size, interpolation=method)
    if image.boxes is None:
        return pixels, None
    factors = np.array([size[0] / width, size[1] / height] * 2, np.float32)
    return pixels, Boxes(image.boxes.corners * factors, image.boxes.labels)


def _title(draw: ImageDraw.ImageDraw, name: str, rest: str) -> None:
    font = ImageFont.load_default(22)
    draw.text((MARGIN, 17), name, fill=TEXT, font=font)
    left = MARGIN + draw.textlength(name, font=font) + 12
    draw.text((left, 24), rest, fill=MUTED, font=ImageFont.load_default(14))


def _draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: _Cell, left: int, top: int
) -> None:
    draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=PANEL)
    height, width = cell.pixels.shape[:2]
    corner = left + (CELL - width) // 2, top + (CELL - height) // 2
    sheet.paste(Image.fromarray(cell.pixels), corner)
    if cell.boxes is not None:
        _draw_boxes(draw, cell.boxes, corner)
    if cell.is_original:
        frame = (left - 3, top - 3, left + CELL + 2, top + CELL + 2)
        draw.rectangle(frame, outline=ACCENT, width=3)
    font = ImageFont.load_default(14)
    caption = _shortened(draw, cell.caption, font)
    place = left + CELL / 2, top + CELL + 6
    color = ACCENT if cell.is_original else MUTED
    draw.text(place, caption, fill=color, font=font, anchor="ma")


def _shortened(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Return a text shortened at its beginning to fit below a cell."""
    if draw.textlength(text, font=font) <= CELL:
        return text
    while text and draw.textlength(f"...{text}", font=font) > CELL:
        text = text[1:]
    return f"...{text}"


def _draw_boxes(draw: ImageDraw.ImageDraw, boxes: Boxes, corner: tuple[int, int]) -> None:
    font = ImageFont.load_default(12)
    colors = dict(zip(sorted(set(boxes.labels)), itertools.cycle(BOX_COLORS), strict=False))
    for (x1, y1, x2, y2), label in zip(boxes.corners, boxes.labels, strict=True):
        left, top = round(x1) + corner[0], round(y1) + corner[1]
        right, bottom = round(x2) + corner[0] - 1, round(y2) + corner[1] - 1
        color = colors[label]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=2)
        room = draw.textlength(label, font=font)
        if room + 6 <= right - left and bottom - top > 30:
            draw.rectangle((left, top, left + room + 6, top + 15), fill=color)
            draw.text((left + 4, top + 1), label, fill="black", font=font)
