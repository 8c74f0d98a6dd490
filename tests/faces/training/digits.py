"""scikit-learn's digits as photos of ten people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits


def write_digits(folder: Path, each: int, first: int = 0) -> Path:
    """Write `each` images of 8x8 pixels of every digit, a folder for each."""
    digits = load_digits()
    for digit in range(10):
        places = np.flatnonzero(digits.target == digit)[first : first + each]
        (folder / f"person {digit}").mkdir(parents=True, exist_ok=True)
        for place in places:
            pixels = (digits.images[place] * 255 / 16).astype(np.uint8)
            assert cv2.imwrite(str(folder / f"person {digit}" / f"{place:04d}.png"), pixels)
    return folder
