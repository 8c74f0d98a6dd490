"""Images at the size of a network's input, made by Pillow as the sources' authors do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepared_image(path: Path, rule: dict[str, Any]) -> np.ndarray:
    """Return an image as the card's input rule wants it.

    Args:
        path: Of the image.
        rule: The card's ``input``, whose fit is ``crop`` or ``stretch``.

    Returns:
        RGB of 0 to 255, uint8 (height, width, 3).
    """
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    height, width = rule["height"], rule["width"]
    interpolation = FILTERS[rule["interpolation"]]
    if rule["fit"] == "stretch":
        return np.asarray(image.resize((width, height), interpolation))
    scale = height / rule["crop_fraction"] / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), interpolation)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))
