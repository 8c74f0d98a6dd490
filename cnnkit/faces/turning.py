"""Faces in photos that lie on their side: where no sure one is found, the photo is turned.

Scanned prints and photos without their EXIF orientation lie so. A detector that was trained on
upright faces finds none in them, or something that is none. Only such photos are looked at again,
so that all others cost what they cost before, and their faces are those that they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from cnnkit.results import Face

# How many quarters counterclockwise `numpy.rot90` turns by, and the same in degrees clockwise.
QUARTERS = {3: 90, 1: 270, 2: 180}
# The same for OpenCV, which turns pixels five to fifteen times as fast as numpy copies them.
WAYS = {3: cv2.ROTATE_90_CLOCKWISE, 1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180}


class FaceFinder(Protocol):
    """What finds faces, such as a `FaceDetector`.

    Attributes:
        sure: The score of a face that lets an image stand as it does, and that turns one.
    """

    sure: float

    def find_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each image, the largest first."""


def find_in_any_orientation(detector: FaceFinder, images: Sequence[np.ndarray]) -> list[list[Face]]:
    """Find the faces of some images, those without a sure upright one turned by quarters.

    Args:
        detector: Finds upright faces.
        images: RGB uint8 (height, width, 3) each, of any size.

    Returns:
        For each image its faces, the largest first, with their places in the image as it is.
        Of the three turned images the one counts that has the surest face, if it is sure.
    """
    found = detector.find_all(images)
    for number, faces in enumerate(found):
        if _surest(faces) < detector.sure:
            found[number] = _find_turned(detector, images[number]) or faces
    return found


def _find_turned(detector: FaceFinder, image: np.ndarray) -> list[Face]:
    """Return the faces of an image that lies on its side, none if no turn shows a sure one."""
    turned = [cv2.rotate(image, WAYS[quarters]) for quarters in QUARTERS]
    found = dict(zip(QUARTERS, detector.find_all(turned), strict=True))
    best = max(found, key=lambda quarters: _surest(found[quarters]))
    if _surest(found[best]) < detector.sure:
        return []
    height, width = image.shape[:2]
    return [turned_back(face, height, width, best) for face in found[best]]


def _surest(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def turned_back(face: Face, height: int, width: int, quarters: int) -> Face:
    """Return a face of a turned image with its places in the image itself.

    Args:
        face: In the image that ``numpy.rot90(image, quarters)`` gave.
        height: Height of the image itself.
        width: Width of the image itself.
        quarters: 1 to 3.
    """
    left, top, right, bottom = face.xyxy
    # The box's edges are lines between pixels, the landmarks centers of pixels.
    corners = [_back(x, y, height, width, quarters) for x, y in ((left, top), (right, bottom))]
    xs, ys = (sorted(values) for values in zip(*corners, strict=True))
    marks = [_back(x, y, height - 1, width - 1, quarters) for x, y in face.landmarks]
    box = (xs[0], ys[0], xs[1], ys[1])
    return replace(face, xyxy=box, landmarks=tuple(marks), turned=QUARTERS[quarters])


def _back(x: float, y: float, height: float, width: float, quarters: int) -> tuple[float, float]:
    """Return where a place of the turned image lies in the image itself."""
    if quarters == 1:
        return width - y, x
    if quarters == 2:
        return width - x, height - y
    return y, height - x


def turned_words(faces: Sequence[Face]) -> str:
    """Return that an image had to be turned, in words, or "" where its faces stand upright."""
    turned = next((face.turned for face in faces if face.turned), 0)
    if not turned:
        return ""
    way = "upside down" if turned == 180 else "on its side"
    return f"lies {way}: its face was found after turning it by {turned} degrees clockwise"
