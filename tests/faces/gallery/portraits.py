"""Photos of two people made of one free image: a face that is drawn together is another face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

NOSE = (223, 120)  # x and y on the free image
REACH = 100  # pixels


def eileen(image: np.ndarray, number: int = 0) -> np.ndarray:
    """Return a photo of the astronaut, another one for each number from 0 to 3."""
    photo = image if number < 3 else image[:, ::-1]
    scale = (1.0, 1.2, 0.8, 0.95)[number]
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return np.clip(photo * (1.0, 0.9, 1.15, 1.05)[number], 0, 255).astype(np.uint8)


def eva(image: np.ndarray, number: int = 0) -> np.ndarray:
    """Return a photo of somebody with a narrower face: 0.65 away from the astronaut."""
    return eileen(drawn_together(image), number)


def drawn_together(image: np.ndarray) -> np.ndarray:
    """Return the astronaut's image with all within `REACH` of her nose drawn towards it."""
    rows, columns = np.indices(image.shape[:2], np.float32)
    away_x, away_y = columns - NOSE[0], rows - NOSE[1]
    reach = np.maximum(1, np.hypot(away_x, away_y)) / REACH
    factor = np.where(reach < 1, reach**-0.4, 1).astype(np.float32)
    return cv2.remap(
        image,
        NOSE[0] + away_x * factor,
        NOSE[1] + away_y * factor,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def write(path: Path, image: np.ndarray) -> Path:
    """Write RGB pixels as an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def write_people(folder: Path, image: np.ndarray, photos: int = 2) -> Path:
    """Write a folder with one folder for each of the two people."""
    for number in range(photos):
        write(folder / "Eileen" / f"{number}.png", eileen(image, number))
        write(folder / "Eva" / f"{number}.png", eva(image, number))
    return folder
