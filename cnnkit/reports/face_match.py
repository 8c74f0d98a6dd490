"""Images side by side with faces, landmarks and a verdict: why two are one person, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.results import Face
from cnnkit.writers.replacing import replacing

HEIGHT = 480  # of each image in the drawing, pixels
WIDEST = 960
BAR, LINE = 44, 26  # the bar with the verdict in one line, and each line more
GAP = 8
PAPER, INK = (255, 255, 255), (30, 30, 30)
# Told apart by color-blind eyes as well.
SAME, DIFFERENT, UNTOLD = (0, 114, 90), (176, 58, 20), (84, 84, 92)
QUALITY = 90


@dataclass(frozen=True)
class Marked:
    """An image of the drawing.

    Attributes:
        image: RGB uint8 (height, width, 3).
        faces: Those that are marked, numbered where there are several.
    """

    image: np.ndarray
    faces: Sequence[Face]


def draw_faces(images: Sequence[Marked], same: bool | None, verdict: str) -> np.ndarray:
    """Return images side by side with faces and a verdict.

    Args:
        images: One or more.
        same: Whether they show one person; None: it cannot be told.
        verdict: The verdict as text.

    Returns:
        RGB uint8 (height, width, 3).
    """
    color = UNTOLD if same is None else SAME if same else DIFFERENT
    drawn = [_with_faces(image, color) for image in images]
    font = ImageFont.load_default(20)
    room = max(sum(one.width for one in drawn) + GAP * (len(drawn) - 1), WIDEST - 2 * GAP)
    lines = _lines(verdict, font, room)
    words = max(int(font.getlength(line)) for line in lines) + 2 * GAP
    width = max(words, sum(one.width for one in drawn) + GAP * (len(drawn) - 1))
    bar = BAR + LINE * (len(lines) - 1)
    canvas = Image.new("RGB", (width, max(one.height for one in drawn) + bar), PAPER)
    left = 0
    for one in drawn:
        canvas.paste(one, (left, 0))
        left += one.width + GAP
    pen = ImageDraw.Draw(canvas)
    top = canvas.height - bar
    pen.rectangle((0, top, width, canvas.height), fill=color)
    for number, line in enumerate(lines):
        middle = top + BAR / 2 + LINE * number
        pen.text((GAP, middle), line, fill=PAPER, font=font, anchor="lm")
    return np.asarray(canvas)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> list[str]:
    """Return a text in lines that fit, a word longer than a line cut into pieces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room:
            lines[-1] = longer
            continue
        lines.append("")
        for character in word:
            if font.getlength(lines[-1] + character) > room:
                lines.append("")
            lines[-1] += character
    return [line for line in lines if line] or [""]


def _with_faces(image: Marked, color: tuple[int, int, int]) -> Image.Image:
    """Return an image at the drawing's size with its faces marked."""
    height, width = image.image.shape[:2]
    scale = min(HEIGHT / height, WIDEST / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image.image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    pen = ImageDraw.Draw(small)
    for number, face in enumerate(image.faces, start=1):
        _mark(pen, face, scale, color)
        if len(image.faces) > 1:
            place = (face.xyxy[0] * scale + 6, face.xyxy[1] * scale + 4)
            font = ImageFont.load_default(18)
            pen.text(place, str(number), fill=PAPER, font=font, stroke_width=2, stroke_fill=color)
    return small


def _mark(pen: ImageDraw.ImageDraw, face: Face, scale: float, color: tuple[int, int, int]) -> None:
    pen.rectangle([edge * scale for edge in face.xyxy], outline=PAPER, width=5)
    pen.rectangle([edge * scale for edge in face.xyxy], outline=color, width=3)
    for x, y in face.landmarks if face.looked_for else ():
        place = [x * scale - 3, y * scale - 3, x * scale + 3, y * scale + 3]
        pen.ellipse(place, fill=PAPER, outline=INK)


def write_faces(path: Path, images: Sequence[Marked], same: bool | None, verdict: str) -> None:
    """Write the drawing of `draw_faces`, PNG or JPEG by its suffix, whole or not at all.

    Raises:
        OutputError: The output cannot be written.
    """
    content = BytesIO()
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(draw_faces(images, same, verdict)).save(content, form, quality=QUALITY)
    with replacing(path) as file:
        file.write(content.getvalue())
