"""Measures faces: speed beside the package ``mtcnn`` with dlib, in one run, and the verdicts.

    python benchmarks/faces.py --peers PYTHON --network NETWORK.dat [--data FOLDER]
        [--copies 4] [--rounds 3]

FOLDER has gallery/PERSON/, probes/ and groups/. PYTHON is an interpreter that has ``mtcnn`` and
``dlib``; NETWORK.dat is dlib_face_recognition_resnet_model_v1.dat, out of the package
face_recognition_models. Both take turns; the median of the rounds counts, and what is reported
first are ratios. Imports and compilation are left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from photos import add_data

if TYPE_CHECKING:
    from cnnkit.faces import Verification

HERE = Path(__file__).parent
# Whom the probes show; the last one is in nobody's folder.
PROBES = {"obama1": "obama", "alex_lacamoire1": "alex_lacamoire", "johnsnow_test1": "jon"}
# Faces with both eyes in the image, counted by eye.
FACES = {"couple": 2, "obama_and_biden": 3, "selfie-many-people": 5}

OURS = """
import json, sys, time
from pathlib import Path
from cnnkit.faces import FaceEmbedder
folder, out, detector, smallest = *sys.argv[1:4], int(sys.argv[4])
score = float(sys.argv[5]) if len(sys.argv) > 5 else None
embedder = FaceEmbedder.load(detector, min_face=smallest, min_score=score)
paths = sorted(str(path) for path in Path(folder).iterdir())
started = time.perf_counter()
faces = 0
with open(out, "w", encoding="utf-8") as file:
    for path, image in embedder.stream(paths):
        rows = [
            face.to_dict() | {"embedding": vector.tolist()}
            for face, vector in zip(image.faces, image.embeddings)
        ]
        faces += len(rows)
        file.write(json.dumps({"path": path, "faces": rows}) + "\\n")
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "rows": len(paths), "faces": faces}))
"""


def last_line(command: list[str]) -> dict:
    """Run a command and return its last line of JSON; stop with its message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def gathered(data: Path, folder: Path, copies: int) -> Path:
    """Put all photos into one folder, each several times."""
    folder.mkdir()
    for number, path in enumerate(sorted(data.rglob("*.jpg"))):
        for copy in range(copies):
            shutil.copy(path, folder / f"{number:03d}_{copy}.jpg")
    return folder


def measure_folder(folder: Path, scratch: Path, arguments: argparse.Namespace) -> None:
    """Print images/s and faces of each contestant, taking turns."""
    out = str(scratch / "rows.jsonl")
    peer = [arguments.peers, str(HERE / "faces_contestant.py"), str(folder), arguments.network, out]
    ours = [sys.executable, "-c", OURS, str(folder), out]
    contestants = {
        "mtcnn package, dlib": peer,
        "cnnkit, yunet (default: faces from 40 pixels)": [*ours, "yunet", "40"],
        "cnnkit, yunet (faces from 20 pixels)": [*ours, "yunet", "20"],
        "cnnkit, mtcnn (faces from 40 pixels, score 0.9)": [*ours, "mtcnn", "40", "0.9"],
        "cnnkit, mtcnn, the package's search (from 20 pixels, score 0.7)": [
            *(*ours, "mtcnn", "20", "0.7")
        ],
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    faces = {}
    for _ in range(arguments.rounds):
        for name, command in contestants.items():
            result = last_line(command)
            rates[name].append(result["rows"] / result["seconds"])
            faces[name] = result["faces"] / arguments.copies
    slowest = statistics.median(rates["mtcnn package, dlib"])
    print("| photos to rows of described faces | images/s | times the package's | faces found |")
    print("|---|---|---|---|")
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"| {name} | {rate:.2f} | {rate / slowest:.2f} | {faces[name]:.0f} |")


def measure_start(data: Path) -> None:
    """Print the median of a warm verdict on two files, beside importing TensorFlow, in turns."""
    pair = [str(data / "gallery/obama/obama.jpg"), str(data / "probes/obama1.jpg")]
    commands = {
        "verify": [sys.executable, "-m", "cnnkit", "verify-face", *pair],
        "tensorflow": [sys.executable, "-c", "import tensorflow"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(6):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[name].append(time.perf_counter() - started)
    ours, theirs = (statistics.median(values[1:]) for values in times.values())
    print(
        f"\nTwo files to a verdict, warm: {ours:.2f} s, {ours / theirs:.2f} times "
        f'`python -c "import tensorflow"` ({theirs:.2f} s)'
    )


def measure_verdicts(data: Path, detector: str) -> None:
    """Print the distances within and between people, and the faces of the groups."""
    from cnnkit.faces import FaceEmbedder, distances
    from cnnkit.images import Found

    embedder = FaceEmbedder.load(detector)
    print(f"\nFaces found by {detector}:")
    paths = sorted([*data.glob("gallery/*/*.jpg"), *data.glob("probes/*.jpg")])
    names = np.array([PROBES.get(path.stem, path.parent.name) for path in paths])
    stream = embedder.stream(Found(str(path)) for path in paths)
    vectors = np.concatenate([image.embeddings[:1] for _, image in stream])
    apart = distances(vectors, vectors)
    upper = np.triu(np.ones(apart.shape, bool), 1)
    same = names[:, None] == names[None]
    within, between = apart[same & upper], apart[~same & upper]
    print(
        f"\n{len(within)} pairs of one person: at most {within.max():.3f} apart; {len(between)} "
        f"of two: at least {between.min():.3f}; threshold {embedder.verification.threshold}"
    )
    measure_probability(vectors, names, embedder.verification)
    for name, counted in FACES.items():
        found = embedder.find(embedder.read(str(data / "groups" / f"{name}.jpg")))
        print(f"groups/{name}: {len(found)} faces found, {counted} counted by eye")


def measure_probability(vectors: np.ndarray, names: np.ndarray, rule: Verification) -> None:
    """Print the logistic curve that fits these pairs, beside the one of the model's card."""
    from cnnkit.faces.pairs import fit_probability, pair_distances, pair_log_loss

    pairs = pair_distances(vectors, np.unique(names, return_inverse=True)[1])
    curves = {"fitted": fit_probability(pairs), "card": (rule.threshold, rule.steepness)}
    for name, curve in curves.items():
        loss = pair_log_loss(pairs, *curve)
        print(
            f"Probability, {name}: midpoint {curve[0]:.3f}, steepness {curve[1]:.1f}, "
            f"log loss {loss:.3f} on {len(pairs.same)} pairs of one person, "
            f"{len(pairs.different)} of two, {pairs.people} people"
        )


def main() -> None:
    """Measure everything and print it as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser, "faces")
    parser.add_argument("--peers", help="A Python with mtcnn and dlib.")
    parser.add_argument("--network", help="dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("--copies", type=int, default=4, help="Times that each photo comes.")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.peers and arguments.network:
        with tempfile.TemporaryDirectory() as scratch:
            folder = gathered(arguments.data, Path(scratch) / "photos", arguments.copies)
            measure_folder(folder, Path(scratch), arguments)
    measure_start(arguments.data)
    for detector in ("yunet", "mtcnn"):
        measure_verdicts(arguments.data, detector)


if __name__ == "__main__":
    main()
