"""Images made by the tests: smooth and all different, as photos are to a perceptual hash."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def scene(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Return a random smooth color image, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def class_folders(root: Path, counts: dict[str, int], first_seed: int = 0) -> Path:
    """Write a folder for each class with so many different images."""
    seed = first_seed
    for name, count in counts.items():
        for number in range(count):
            save(root / name / f"{number:03}.jpg", scene(seed), quality=92)
            seed += 1
    return root
