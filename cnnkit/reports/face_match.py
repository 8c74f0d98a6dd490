"""Pictures side by side with faces, landmarks and a verdict: why two are one person, or not."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.results import Face, FaceMatch
from cnnkit.writers.replacing import replacing

HEIGHT = 480  # of each picture in the drawing, pixels
WIDEST = 960
BAR = 44
GAP = 8
PAPER, INK = (255, 255, 255), (30, 30, 30)
SAME, DIFFERENT = (0, 114, 90), (176, 58, 20)  # told apart by colour-blind eyes as well
QUALITY = 90


def draw_face_match(images: Sequence[np.ndarray], match: FaceMatch, verdict: str) -> np.ndarray:
    """Return the drawing.

    Args:
        images: RGB uint8 (height, width, 3), one for each of the match's faces.
        match: The verdict and the faces.
        verdict: In words.

    Returns:
        RGB uint8 (height, width, 3).
    """
    colour = SAME if match.same else DIFFERENT
    drawn = [
        _with_face(image, face, colour) for image, face in zip(images, match.faces, strict=True)
    ]
    font = ImageFont.load_default(20)
    words = int(font.getlength(verdict)) + 2 * GAP
    width = max(words, sum(one.width for one in drawn) + GAP * (len(drawn) - 1))
    canvas = Image.new("RGB", (width, max(one.height for one in drawn) + BAR), PAPER)
    left = 0
    for one in drawn:
        canvas.paste(one, (left, 0))
        left += one.width + GAP
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((0, canvas.height - BAR, width, canvas.height), fill=colour)
    pen.text((GAP, canvas.height - BAR / 2), verdict, fill=PAPER, font=font, anchor="lm")
    return np.asarray(canvas)


def _with_face(image: np.ndarray, face: Face, colour: tuple[int, int, int]) -> Image.Image:
    """Return a picture at the drawing's size with a face marked."""
    height, width = image.shape[:2]
    scale = min(HEIGHT / height, WIDEST / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    pen = ImageDraw.Draw(small)
    pen.rectangle([edge * scale for edge in face.box], outline=PAPER, width=5)
    pen.rectangle([edge * scale for edge in face.box], outline=colour, width=3)
    for x, y in face.landmarks:
        place = [x * scale - 3, y * scale - 3, x * scale + 3, y * scale + 3]
        pen.ellipse(place, fill=PAPER, outline=INK)
    return small


def write_face_match(
    path: Path, images: Sequence[np.ndarray], match: FaceMatch, verdict: str
) -> None:
    """Write the drawing, PNG or JPEG by its suffix, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    content = BytesIO()
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(draw_face_match(images, match, verdict)).save(content, form, quality=QUALITY)
    with replacing(path) as file:
        file.write(content.getvalue())
