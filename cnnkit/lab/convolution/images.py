"""Images on their way into a convolution and out of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.images import decode_fine, read_bytes
from cnnkit.lab.convolution.sliding import shown
from cnnkit.writers.replacing import replacing

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Values are float32, three a pixel, and there are a few copies of them.
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Convolved:
    """What one image gave.

    Attributes:
        output: Where its result lies.
        size: Height and width of it.
        low: The least value.
        high: The greatest.
    """

    output: str
    size: tuple[int, int]
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as it stands in a row."""
        numbers = {"min": round(self.low, 6), "max": round(self.high, 6)}
        return {"output": self.output, "size": list(self.size)} | numbers


def read_values(path: str, max_pixels: int | None = None) -> np.ndarray:
    """Return an image's values, 0 to 255, of 16 bits the fractions too, float32 (h, w, 3).

    Raises:
        ImageError: It cannot be read, or has more pixels than `max_pixels`.
    """
    return decode_fine(read_bytes(path), max_pixels=max_pixels or MAX_PIXELS)


def write_values(target: Path, values: np.ndarray, how: str) -> Convolved:
    """Write values as an image, or into a ``.npy`` file as they are.

    Args:
        target: The file, with a suffix of `FORMATS` or ``.npy``.
        values: float (height, width, channels).
        how: They are shown, see `shown`.

    Raises:
        OutputError: The file cannot be written.
    """
    buffer = io.BytesIO()
    if target.suffix.lower() == ".npy":
        np.save(buffer, values.astype(np.float32), allow_pickle=False)
    else:
        form = FORMATS[target.suffix.lower()]
        options = {"quality": 92} if form != "PNG" else {}
        Image.fromarray(shown(values, how)).save(buffer, form, **options)
    with replacing(target) as file:
        file.write(buffer.getvalue())
    size = values.shape[0], values.shape[1]
    return Convolved(str(target), size, float(values.min()), float(values.max()))
