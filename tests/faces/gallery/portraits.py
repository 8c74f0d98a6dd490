"""Photos of two people made of one free image: a face that is squeezed is another face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def eileen(image: np.ndarray, number: int = 0) -> np.ndarray:
    """Return a photo of the astronaut, another one for each number from 0 to 3."""
    photo = image if number < 3 else image[:, ::-1]
    scale = (1.0, 1.2, 0.8, 0.95)[number]
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return np.clip(photo * (1.0, 0.9, 1.15, 1.05)[number], 0, 255).astype(np.uint8)


def eva(image: np.ndarray, number: int = 0) -> np.ndarray:
    """Return a photo of somebody with half the height: 0.65 away from the astronaut."""
    return cv2.resize(eileen(image, number), None, fx=1.0, fy=0.5, interpolation=cv2.INTER_LINEAR)


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
