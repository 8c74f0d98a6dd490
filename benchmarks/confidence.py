"""Measures at which confidence a detector is right most often, on photos of cats and dogs.

    python benchmarks/confidence.py [--data FOLDER] [--models nanodet-g yolov3-tiny]

The data is the folder with `catdog`, a folder of photos for each of the two. Every photo shows one
of them, seldom more. The best detection of the right animal is right; another of any animal is
wrong, a second one of the same included; a photo without a right one is missed. What is found of
other things is left out: nobody labeled those.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from benchmarks.photos import add_data  # noqa: E402 - the project is no installation
from cnnkit import Detector  # noqa: E402

ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe".split()
LOWEST = 0.1
GRID = np.arange(LOWEST, 0.8, 0.05)


def scores_of(model: str, data: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the scores of right detections, those of wrong ones, and the number of photos."""
    detector = Detector.load(model, confidence=LOWEST, classes=ANIMALS)
    right, wrong, photos = [], [], 0
    for folder in sorted(p for p in data.iterdir() if p.is_dir()):
        for _, found in detector.stream([str(folder)]):
            photos += 1
            own = [bool(folder.name.lower().startswith(label)) for label in found.labels]
            first = own.index(True) if True in own else None  # the best stands first
            for number, score in enumerate(found.scores):
                (right if number == first else wrong).append(float(score))
    return np.array(right), np.array(wrong), photos


def f1_at(confidence: float, right: np.ndarray, wrong: np.ndarray, photos: int) -> float:
    """Return the F1 of what has at least this score."""
    hits, extra = (right >= confidence).sum(), (wrong >= confidence).sum()
    return float(2 * hits / (hits + extra + photos))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--models", nargs="+", default=["nanodet-g", "yolov3-tiny"])
    asked = parser.parse_args()
    for model in asked.models:
        measured = scores_of(model, asked.data / "catdog")
        figures = [f1_at(confidence, *measured) for confidence in GRID]
        best = GRID[int(np.argmax(figures))]
        print(f"{model}: F1 {max(figures):.3f} at confidence {best:.2f}")
        print("  " + " ".join(f"{c:.2f}:{f:.3f}" for c, f in zip(GRID, figures, strict=True)))


if __name__ == "__main__":
    main()
