"""Pictures at the size of a network's input, made by Pillow as the sources' authors do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def prepared_picture(path: Path, rule: dict[str, Any]) -> np.ndarray:
    """Return a picture as the card's input rule wants it.

    Args:
        path: Of the picture.
        rule: The card's ``input``, whose fit is ``crop`` or ``stretch``.

    Returns:
        RGB of 0 to 255, uint8 (height, width, 3).
    """
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    height, width = rule["height"], rule["width"]
    interpolation = FILTERS[rule["interpolation"]]
    if rule["fit"] == "stretch":
        return np.asarray(picture.resize((width, height), interpolation))
    scale = height / rule["crop_fraction"] / min(picture.size)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), interpolation
    )
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))
