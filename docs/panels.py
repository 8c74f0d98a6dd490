"""Images side by side on a dark card, which reads well on a light page and on a dark one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

CARD, INK, FAINT, ACCENT = (22, 24, 29), (240, 242, 245), (150, 156, 166), (92, 124, 250)
GAP = 14
PLATE = (0, 0, 0, 150)


class Panel(NamedTuple):
    """One image of a card.

    Attributes:
        image: Of any size; what does not fit the panel's shape is cut off.
        title: Below it.
        note: Behind the title, fainter.
    """

    image: Image.Image
    title: str
    note: str = ""


def card(panels: Sequence[Panel], size: tuple[int, int], text: int = 24) -> Image.Image:
    """Return the panels in a row, each of one size (width, height), with titles below."""
    width, height = size
    bar = round(text * 2.1)
    whole = (len(panels) * (width + GAP) + GAP, GAP + height + bar)
    image = Image.new("RGB", whole, CARD)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(text)
    for number, panel in enumerate(panels):
        left = GAP + number * (width + GAP)
        fitted = ImageOps.fit(panel.image.convert("RGB"), size, Image.Resampling.LANCZOS)
        image.paste(fitted, (left, GAP))
        line = GAP + height + bar // 2
        draw.text((left + 4, line), panel.title, INK, font, anchor="lm")
        if panel.note:
            start = left + 4 + draw.textlength(panel.title + "  ", font)
            draw.text((start, line), panel.note, FAINT, font, anchor="lm")
    return image


def fit(image: Image.Image, size: tuple[int, int], center: tuple[float, float]) -> Image.Image:
    """Return the image cut to the shape of a size around a center (0 to 1 each), and scaled."""
    return ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS, centering=center)


def with_bars(image: Image.Image, bars: Sequence[tuple[str, float]], text: int = 24) -> Image.Image:
    """Return the image with labels and their shares (0 to 1) as bars over its lower edge."""
    row, pad = round(text * 1.7), round(text * 0.6)
    shade = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(shade)
    font = ImageFont.load_default(text)
    top = image.height - row * len(bars) - 2 * pad
    draw.rectangle((0, top, *image.size), fill=PLATE)
    for number, (label, share) in enumerate(bars):
        upper = top + pad + number * row
        full = image.width - 2 * pad
        draw.rounded_rectangle(
            (pad, upper + 3, pad + max(6, share * full), upper + row - 3), 5, fill=(*ACCENT, 235)
        )
        draw.text((pad + 9, upper + row // 2), label, INK, font, anchor="lm")
        draw.text((image.width - pad - 9, upper + row // 2), f"{share:.0%}", INK, font, anchor="rm")
    return Image.alpha_composite(image.convert("RGBA"), shade).convert("RGB")


def with_label(
    image: Image.Image, box: tuple[float, float, float, float] | None, label: str, text: int = 24
) -> Image.Image:
    """Return the image with a label: at a box (left, top, right, bottom), or in its corner."""
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(text)
    high, wide = round(text * 1.5), round(draw.textlength(label, font) + text)
    left, top = (box[0], box[1] - high) if box else (0, 0)
    left, top = max(0, left), max(0, top)
    if box:
        draw.rectangle(box, outline=ACCENT, width=5)
    draw.rectangle((left, top, left + wide, top + high), fill=ACCENT)
    draw.text((left + text // 2, top + high // 2), label, INK, font, anchor="lm")
    return image
