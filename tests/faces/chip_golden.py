"""What the names of alignments stand for, as numbers: landmarks and small chips.

    python -m tests.faces.chip_golden      writes tests/golden/chips.json anew

Descriptions of faces can be compared only where detection and cropping are the same. So whoever
changes them gives the constant a new name, by which galleries made before are refused, and then
writes this file anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cnnkit.faces import FaceEmbedder
from cnnkit.faces.whole_images import WHOLE_IMAGE, WholeImages
from cnnkit.images import decode, read_bytes

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "chips.json"
DETECTORS = ("mtcnn", "yunet")
SIDE = 6  # a chip is kept as so many cells a side, each the mean of its pixels,
EYE = slice(41, 51), slice(38, 56)  # and a part of it pixel by pixel: interpolation shows there


def numbers(chip: np.ndarray) -> dict[str, list[list[int]]]:
    """Return a chip's cells, for each row red, green, blue of each, and the green of its eye."""
    cells = cv2.resize(chip.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return {
        "cells": cells.round().astype(int).reshape(SIDE, -1).tolist(),
        "eye": chip[..., 1][EYE].tolist(),
    }


def images(astronaut: np.ndarray) -> dict[str, np.ndarray]:
    """Return a face as it is, a large one that is reduced, and a turned one that the edge cuts."""
    turn = cv2.getRotationMatrix2D((220, 120), 20, 0.9)
    turned = cv2.warpAffine(astronaut, turn, (512, 512))
    return {
        "face": astronaut,
        "large face": cv2.resize(astronaut, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR),
        "face at the edge": np.ascontiguousarray(turned[90:, 185:]),
    }


def current(embedder: FaceEmbedder, astronaut: np.ndarray) -> dict[str, Any]:
    """Return what the code does now with `images` and a detector, and with an image as a whole.

    The names of the entries begin with the detector's, but for `mtcnn`, once the only one.
    """
    found: dict[str, Any] = {}
    detector = embedder.detector.bundle.card.name
    for what, image in images(astronaut).items():
        name = what if detector == "mtcnn" else f"{detector}: {what}"
        (face,) = embedder.find(image)
        landmarks = np.round(np.array(face.landmarks), 2).tolist()
        found[name] = {"alignment": embedder.alignment, "landmarks": landmarks}
        found[name] |= numbers(embedder.cut(image, [face])[0])
    whole = FaceEmbedder(WholeImages(), embedder.bundle)
    (chip,) = whole.cut(astronaut, whole.detector.find(astronaut))
    found["whole image"] = {"alignment": WHOLE_IMAGE, "landmarks": []} | numbers(chip)
    return found


def written(found: dict[str, Any]) -> str:
    """Return the golden's text, each row of cells on a line of its own."""
    text = json.dumps(found, indent=1)
    return re.sub(r"\[\s*([-\d.,\s]+?)\s*\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def main() -> None:
    """Write the golden anew."""
    image = decode(read_bytes(str(ROOT / "examples" / "images" / "astronaut.jpg")))
    found: dict[str, Any] = {}
    for detector in DETECTORS:
        found |= current(FaceEmbedder.load(detector, min_face=40), image)
    GOLDEN.write_text(written(found))


if __name__ == "__main__":
    main()
