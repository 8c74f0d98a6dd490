"""Small images with boxes drawn on them, true and found ones distinguished, for reports."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from cnnkit.errors import ImageError
from cnnkit.images import thumbnail, upright_size
from cnnkit.writers.terminal import printable

LONG_SIDE = 420
# By what became of a box; distinct on photos and for eyes that mix up red and green.
COLORS = {"hit": "#2f7fe0", "missed": "#ffb000", "invented": "#e0367f", "confused": "#b44be0"}
TRUE = "#ffffff"


def drawn_boxes(
    path: str, true: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> bytes | None:
    """Return a small JPEG of an image with its boxes, None if it cannot be read.

    Args:
        path: The image, as the file system wants it.
        true: Dicts with ``box`` (left, top, width, height in the image's pixels), ``label``
            and ``fate``: a missed one is drawn in its color, another as a thin white frame.
        found: Dicts with ``box``, ``label``, ``score`` and ``fate``.
    """
    try:
        _, width = upright_size(path)
        small = Image.open(io.BytesIO(thumbnail(path, long_side=LONG_SIDE)))
    except ImageError:
        return None
    image = small.convert("RGB")
    draw, scale = ImageDraw.Draw(image), image.width / width
    for one in true:
        missed = one["fate"] == "missed"
        _frame(draw, one["box"], scale, COLORS["missed"] if missed else TRUE, 3 if missed else 1)
    for one in found:
        color = COLORS[one["fate"]]
        corner = _frame(draw, one["box"], scale, color, 3)
        _label(draw, corner, f"{one['label']} {one['score']:.2f}", color)
    for one in true:
        if one["fate"] == "missed":
            left, top = one["box"][0] * scale, one["box"][1] * scale
            _label(draw, (left, top), one["label"], COLORS["missed"])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _frame(
    draw: ImageDraw.ImageDraw, box: Sequence[float], scale: float, color: str, line: int
) -> tuple[float, float]:
    left, top = box[0] * scale, box[1] * scale
    right, bottom = left + max(1, box[2] * scale), top + max(1, box[3] * scale)
    draw.rectangle((left, top, right, bottom), outline=color, width=line)
    return left, top


def _label(draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, color: str) -> None:
    font = ImageFont.load_default(12)
    text = printable(text)[:40]
    room = draw.textlength(text, font=font) + 6
    left = max(0, min(corner[0], draw.im.size[0] - room))
    top = max(0, corner[1] - 15)
    draw.rectangle((left, top, left + room, top + 15), fill=color)
    draw.text((left + 3, top + 1), text, fill="black", font=font)
