"""Drawn images of a few classes: easy to tell apart, all different, made in no time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("discs", "grids", "stripes")


def drawing(kind: str, seed: int, side: int = 96) -> np.ndarray:
    """Return an image of a class on a mottled ground, uint8 BGR (side, side, 3)."""
    generator = np.random.default_rng((CLASSES.index(kind), seed))
    ground = generator.integers(60, 200, (6, 6, 3)).astype(np.float32)
    image = cv2.resize(ground, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    image = image.astype(np.uint8)
    color = tuple(int(x) for x in generator.integers(0, 256, 3))
    step, start = int(generator.integers(12, 20)), int(generator.integers(0, 10))
    if kind == "discs":
        for _ in range(5):
            x, y = (int(v) for v in generator.integers(15, side - 15, 2))
            cv2.circle(image, (x, y), int(generator.integers(8, 16)), color, -1)
        return image
    for place in range(start, side, step):
        cv2.line(image, (place, 0), (place, side), color, 4)
        if kind == "grids":
            cv2.line(image, (0, place), (side, place), color, 4)
    return image


def draw(folder: Path, count: int = 14, first: int = 0) -> Path:
    """Fill a folder with a folder of PNG files for each class."""
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            path = folder / kind / f"{number:03d}.png"
            path.write_bytes(cv2.imencode(".png", drawing(kind, number))[1].tobytes())
    return folder


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's handwritten digits as PNG files, 80 % in train/ and 20 % in val/."""
    from tests.training.digits import digits

    for split, part in zip(("train", "val"), digits(), strict=True):
        for number, (image, label) in enumerate(zip(*part, strict=True)):
            path = folder / split / str(label) / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder
