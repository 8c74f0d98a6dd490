"""Measures the face detectors beside each other, photo by photo in turns, and their verdicts.

    python benchmarks/face_detectors.py [--data FOLDER] [--min-face 20] [--rounds 3]

FOLDER has faces/, coco64/images/ and catdog/. faces_by_eye.json holds the faces that were seen by
eye among all that any detector had found at a low score, and whom they show; what is too small or
covered to tell is ``unclear`` and counts for nothing. Time is that of the processor on one thread,
decoding left out; of each photo the fastest round counts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from photos import add_data

from cnnkit.bundles import open_model
from cnnkit.faces import FaceDetector, FaceEmbedder, Search, distances
from cnnkit.images import decode, read_bytes
from cnnkit.results import Face, Failure
from cnnkit.runtime import RuntimeOptions

HERE = Path(__file__).parent
DETECTORS = ("mtcnn", "yunet")
BY_EYE = json.loads((HERE / "faces_by_eye.json").read_text(encoding="utf-8"))
OPTIONS = RuntimeOptions(precision="float32", threads=1)


def overlap(some: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return intersection over union of left, top, right, bottom."""
    low, high = np.maximum(some[:2], other[:2]), np.minimum(some[2:], other[2:])
    common = float(np.maximum(high - low, 0).prod())
    areas = [float(np.prod(np.subtract(box[2:], box[:2]))) for box in (some, other)]
    return common / (sum(areas) - common)


def judged(faces: list[Face], by_eye: dict[str, list]) -> tuple[int, int]:
    """Return the numbers of true faces that were found and of false ones."""
    seen, false = set(), 0
    known = [*by_eye.get("faces", []), *by_eye.get("unclear", [])]
    for face in faces:
        shares = [overlap(face.xyxy, tuple(box)) for box in known]
        if max(shares, default=0) <= 0.3:
            false += 1
        elif (best := int(np.argmax(shares))) < len(by_eye.get("faces", [])):
            seen.add(best)
    return len(seen), false


def timed(detector: FaceDetector, image: np.ndarray, rounds: int) -> tuple[list[Face], float]:
    """Return the faces of an image and the seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        faces = detector.find(image)
        seconds.append(time.process_time() - started)
    return faces, min(seconds)


def measure_finding(data: Path, min_face: int, rounds: int) -> None:
    """Print the faces found in each folder, and the time a photo."""
    folders = {
        "faces": sorted((data / "faces").rglob("*.jpg")),
        "coco64": sorted((data / "coco64/images").glob("*.jpg")),
        "dogs of catdog": sorted((data / "catdog/dog").glob("*.jpg")),
        "cats of catdog": sorted((data / "catdog/cat").glob("*.jpg")),
    }
    search = Search(min_face)
    detectors = {name: FaceDetector(open_model(name), search, OPTIONS) for name in DETECTORS}
    print("| photos | detector | true faces | false | photos/s of a core | times mtcnn |")
    print("|---|---|---|---|---|---|")
    for folder, paths in folders.items():
        counts = {name: [0, 0, 0.0] for name in detectors}
        for path in paths:
            image = decode(read_bytes(str(path)))
            by_eye = BY_EYE.get(path.relative_to(data).as_posix(), {})
            for name, detector in detectors.items():
                faces, seconds = timed(detector, image, rounds if len(paths) < 100 else 1)
                for place, value in enumerate((*judged(faces, by_eye), seconds)):
                    counts[name][place] += value
        slowest = counts["mtcnn"][2]
        for name, (true, false, seconds) in counts.items():
            rate, times = len(paths) / seconds, slowest / seconds
            row = f"{len(paths)} {folder} | {name} | {true} | {false} | {rate:.1f} | {times:.2f}"
            print(f"| {row} |")


def person(face: Face, by_eye: dict[str, list]) -> str:
    """Return whom a face of the folder faces/ shows, or "": nobody known."""
    shares = [overlap(face.xyxy, tuple(box)) for box in by_eye["faces"]]
    return by_eye["people"][int(np.argmax(shares))] if max(shares) > 0.3 else ""


def measure_distances(data: Path) -> None:
    """Print the distances within and between people, aligned by each detector's landmarks."""
    print("\n| detector | faces | pairs of one person | of two | right at 0.6 |")
    print("|---|---|---|---|---|")
    paths = sorted((data / "faces").rglob("*.jpg"))
    for name in DETECTORS:
        embedder = FaceEmbedder.load(name, precision="float32")
        names, vectors = [], []
        for path in paths:
            found = embedder.predict(path)
            if isinstance(found, Failure):
                raise SystemExit(found.message)
            for number, face in enumerate(found.faces):
                if who := person(face, BY_EYE[path.relative_to(data).as_posix()]):
                    names.append(who)
                    vectors.append(found.embeddings[number])
        apart = distances(np.array(vectors), np.array(vectors))
        upper, same = np.triu(np.ones(apart.shape, bool), 1), np.equal.outer(names, names)
        within, between = apart[same & upper], apart[~same & upper]
        right = float(((within <= 0.6).sum() + (between > 0.6).sum()) / upper.sum())
        print(
            f"| {name} | {len(names)} | {len(within)}, mean {within.mean():.3f}, at most "
            f"{within.max():.3f} | {len(between)}, mean {between.mean():.3f}, at least "
            f"{between.min():.3f} | {right:.3f} |"
        )


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--min-face", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    measure_distances(arguments.data)
    print(f"\nFaces from {arguments.min_face} pixels, {arguments.rounds} rounds:\n")
    measure_finding(arguments.data, arguments.min_face, arguments.rounds)


if __name__ == "__main__":
    main()
