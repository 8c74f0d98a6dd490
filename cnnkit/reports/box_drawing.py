"""Boxes and their labels on images, readable on small and on huge ones."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Below this long side an image is drawn larger: no label can be read on 80 pixels.
LEAST_SIDE = 480
LARGEST_FACTOR = 8
LEAST_TEXT, TEXT_SHARE = 13, 0.022  # pixels; of the long side
LEAST_LINE, LINE_SHARE = 2, 0.0028
GOLDEN_ANGLE = 0.381966  # of the circle of hues: neighbors in number are far apart in color


class DrawnBox(NamedTuple):
    """One box to draw.

    Attributes:
        corners: Left, top, right, bottom in pixels of the image.
        label: What stands at it, or "".
        color: A number; boxes of one number have one color.
    """

    corners: tuple[float, float, float, float]
    label: str
    color: int


def draw_boxes(pixels: np.ndarray, found: Sequence[DrawnBox], labels: bool = True) -> Image.Image:
    """Return an image with boxes; a small one is enlarged, so that its labels can be read.

    Args:
        pixels: RGB, uint8 (height, width, 3).
        found: The boxes, the most important first; it is drawn last, above the others.
        labels: Whether their labels are written.
    """
    image, factor = _enlarged(Image.fromarray(pixels), labels and bool(found))
    draw = ImageDraw.Draw(image)
    long_side = max(image.size)
    width = max(LEAST_LINE, round(long_side * LINE_SHARE))
    frames = [_frame(one.corners, factor, image.size) for one in found]
    for one, frame in reversed(list(zip(found, frames, strict=True))):
        draw.rectangle(frame, outline=color_of(one.color), width=width)
    if labels:
        _write_labels(draw, found, frames, max(LEAST_TEXT, round(long_side * TEXT_SHARE)))
    return image


def color_of(number: int) -> tuple[int, int, int]:
    """Return the color of a number: bright, and unlike those of the numbers near it."""
    lightness = (0.6, 0.5, 0.7)[number % 3]
    red, green, blue = colorsys.hls_to_rgb(number * GOLDEN_ANGLE % 1, lightness, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def enlargement(size: tuple[int, ...]) -> int:
    """Return by what factor an image of that size is enlarged so that labels can be read."""
    return max(1, min(LARGEST_FACTOR, -(-LEAST_SIDE // max(size))))


def _enlarged(image: Image.Image, wanted: bool) -> tuple[Image.Image, int]:
    factor = enlargement(image.size) if wanted else 1
    if factor <= 1:
        return image, 1
    size = image.width * factor, image.height * factor
    return image.resize(size, Image.Resampling.BICUBIC), factor


def _frame(
    corners: Iterable[float], factor: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the pixels of a box's frame, at least one wide and inside the image."""
    left, top, right, bottom = (round(value * factor) for value in corners)
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    return left, top, min(max(left, right - 1), size[0] - 1), min(max(top, bottom - 1), size[1] - 1)


def _write_labels(
    draw: ImageDraw.ImageDraw,
    found: Sequence[DrawnBox],
    frames: Sequence[tuple[int, int, int, int]],
    text_size: int,
) -> None:
    """Write each label where it covers no other one, if there is such a place."""
    font, size = ImageFont.load_default(text_size), draw.im.size
    pad = max(2, round(text_size * 0.2))
    taken: list[tuple[float, float, float, float]] = []
    for one, frame in zip(found, frames, strict=True):
        if not one.label:
            continue
        left, top, right, bottom = draw.textbbox((0, 0), one.label, font=font)
        plate = (right - left + 2 * pad, bottom - top + 2 * pad)
        x, y = _place(frame, plate, taken, size)
        color = color_of(one.color)
        draw.rectangle((x, y, x + plate[0], y + plate[1]), fill=color)
        ink = "black" if _luminance(color) > 110 else "white"
        draw.text((x + pad - left, y + pad - top), one.label, fill=ink, font=font)
        taken.append((x, y, x + plate[0], y + plate[1]))


def _place(
    frame: tuple[int, int, int, int],
    plate: tuple[float, float],
    taken: Sequence[tuple[float, float, float, float]],
    size: tuple[int, int],
) -> tuple[float, float]:
    """Return the left top corner of a label's plate, inside the image where it fits."""
    left, top, right, bottom = frame
    places = [
        (left, top - plate[1]),
        (left, top),
        (left, bottom),
        (left, bottom - plate[1]),
        (right - plate[0], top - plate[1]),
        (right - plate[0], top),
        *((left, top + step * plate[1]) for step in range(1, 5)),
    ]
    inside = [
        (min(max(0, x), max(0, size[0] - 1 - plate[0])), y)
        for x, y in places
        if 0 <= y <= size[1] - 1 - plate[1]
    ]
    for x, y in inside:
        if not any(
            x < other[2] and other[0] < x + plate[0] and y < other[3] and other[1] < y + plate[1]
            for other in taken
        ):
            return x, y
    return inside[0] if inside else (max(0, min(left, size[0] - 1 - plate[0])), max(0, top))


def _luminance(color: tuple[int, int, int]) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
