"""Aligned faces: turned, scaled and moved so that five landmarks fall where the embedder has them.

The template is dlib's mean face: the centers of the eyes, the tip of the nose and the corners of
the mouth among its 68 points, on a chip of 150x150 pixels with a border of a quarter of the face.
An embedder knows no other: the same faces cut out by their boxes give useless distances.
"""

from __future__ import annotations

import cv2
import numpy as np

from cnnkit.faces.candidates import inside
from cnnkit.results import Face

CHIP = 150
# Name what a chip depends on, the search for the face included, by a cascade or by YuNet:
# embeddings of another alignment cannot be compared. tests/golden/chips.json holds what they stand
# for. YuNet's first was five-points-1 too; its closer looks were cut out otherwise.
CASCADE_ALIGNMENT, YUNET_ALIGNMENT = "five-points-1", "five-points-2"

# Left eye, right eye, nose, left and right corner of the mouth, as one sees them; x, y in pixels.
TEMPLATE = np.array(
    [
        (47.5659, 46.5990),
        (100.4761, 46.5990),
        (74.0127, 76.5625),
        (50.4149, 103.0233),
        (97.6104, 103.0233),
    ]
)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the turn, scale and shift that takes points nearest to others, in least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE PAMI 13 (1991), in the plane, where complex numbers make it two quotients.

    Args:
        source: (n, 2), at least two different points.
        target: (n, 2).

    Returns:
        (2, 3): multiplied with (x, y, 1) it gives the point's new place.

    Raises:
        ValueError: All points of the source are one.
    """
    before = source[:, 0] + 1j * source[:, 1]
    after = target[:, 0] + 1j * target[:, 1]
    centerd = before - before.mean()
    spread = float((abs(centerd) ** 2).sum())
    if spread <= 1e-12:
        raise ValueError("`source` must hold at least two different points. Received: one.")
    turn = (centerd.conj() * (after - after.mean())).sum() / spread
    shift = after.mean() - turn * before.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def chip(image: np.ndarray, face: Face) -> np.ndarray:
    """Return one aligned face, black where it reaches beyond the image.

    Args:
        image: RGB uint8 (height, width, 3), the image in which the face was found.
        face: With landmarks.

    Returns:
        uint8 (150, 150, 3).
    """
    transform = similarity(np.array(face.landmarks), TEMPLATE)
    part, offset = _source_part(image, transform)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    factor = max(1, min(int(1 / scale), *part.shape[:2]))
    if factor > 1:  # a large face: average first, or fine detail would turn into noise
        rows, columns = (side // factor for side in part.shape[:2])
        whole = part[: rows * factor, : columns * factor]
        part = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    to_part = np.array([[factor, 0, offset[0]], [0, factor, offset[1]], [0, 0, 1]], float)
    to_part[:2, 2] += (factor - 1) / 2  # centers of pixels are whole numbers
    return cv2.warpAffine(part, transform @ to_part, (CHIP, CHIP), flags=cv2.INTER_LINEAR)


def _source_part(image: np.ndarray, transform: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of an image that a chip sees, and its left and top."""
    back = cv2.invertAffineTransform(transform)
    corners = np.array([(0, 0, 1), (CHIP, 0, 1), (0, CHIP, 1), (CHIP, CHIP, 1)], float) @ back.T
    height, width = image.shape[:2]
    low, high = corners.min(axis=0) - 4, corners.max(axis=0) + 4
    left, top = (int(v) for v in np.clip(np.floor(low), 0, (width - 1, height - 1)))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), (left + 1, top + 1), (width, height)))
    return inside(image, left, top, right, bottom), (left, top)


def chips(image: np.ndarray, faces: list[Face]) -> np.ndarray:
    """Return the aligned faces of one image, uint8 (faces, 150, 150, 3)."""
    if not faces:
        return np.zeros((0, CHIP, CHIP, 3), np.uint8)
    return np.stack([chip(image, face) for face in faces])
