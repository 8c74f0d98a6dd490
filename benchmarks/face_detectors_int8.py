"""Measures what the face detectors would gain and lose in 8-bit integers, which they refuse.

    python benchmarks/face_detectors_int8.py [--data FOLDER] [--rounds 3] [--detectors NAME ...]
        [--float PATTERN ...] [--eight-bits]

FOLDER has faces/, coco64/images/, catdog/, and imagenet200/images/. Every fourth photo of the last
gives the ranges of the activations: of all that the detector looks at on its way in float32. The
layers that a pattern names stay in float32: by default those that gain least or move most. Kernels
have 7 bits where the processor has neither VNNI nor AMX; with ``--eight-bits`` 8 bits, computed in
float32, whose time means nothing. Both find the faces of the same photos in turns; time is that of
the processor on one thread, decoding left out, and of each photo the fastest round counts. The
faces of faces/ are compared with those in float32 one by one, and so are their distances by
`dlib-face`.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from face_detectors import BY_EYE, OPTIONS, judged, overlap, timed
from photos import add_data

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.means import write_means
from cnnkit.faces import FaceDetector, FaceEmbedder, Search, cascade, distances, yunet
from cnnkit.images import decode, read_bytes
from cnnkit.results import Face
from cnnkit.runtime import Predictor, predictor
from cnnkit.runtime.quantization import measure_activations

MIN_FACE = 20
# By the side of what it takes; None: any.
NETWORKS = {
    "yunet": {None: None, yunet.CLOSER_VIEW: None},
    "mtcnn": {
        None: "proposal",
        cascade.REFINEMENT_SIDE: "refinement",
        cascade.OUTPUT_SIDE: "output",
    },
}
FLOAT = {
    # A depthwise convolution is no faster in integers; the heads are boxes and scores themselves.
    "yunet": ("head*", "*_depthwise/*"),
    "mtcnn": ("*/classifier/*", "*/regressor/*", "*/landmark_regressor/*"),
}
Calls = list[np.ndarray]
MOST_CALLS = 48  # of a network, each an image or some crops, spread over all


class Recorder:
    """A predictor that keeps what it is called with."""

    def __init__(self, inner: Predictor) -> None:
        self.inner, self.calls = inner, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run it."""
        self.calls.append(images.copy())
        return self.inner.predict(images)


def calls_of(name: str, bundle: Bundle, photos: list[np.ndarray]) -> dict[str | None, Calls]:
    """Return what each network of a detector is called with in float32."""
    recorders: dict[int | None, Recorder] = {}

    def recorded(source: Any, *arguments: Any, **named: Any) -> Recorder:
        recorders[source.input_shape[0]] = Recorder(predictor(source, *arguments, **named))
        return recorders[source.input_shape[0]]

    with ExitStack() as patches:
        for module in (yunet, cascade):
            patches.enter_context(patch.object(module, "predictor", recorded))
        detector = FaceDetector(bundle, Search(MIN_FACE), OPTIONS)
    for photo in photos:
        detector.find(photo)
    by_network: dict[str | None, Calls] = {}
    for side, recorder in recorders.items():
        by_network.setdefault(NETWORKS[name][side], []).extend(recorder.calls)
    return by_network


def in_int8(name: str, photos: list[np.ndarray], patterns: tuple[str, ...], folder: Path) -> Bundle:
    """Return a detector's bundle with activation ranges."""
    bundle = open_model(name)
    ranges, means = {}, {}
    for network, calls in calls_of(name, bundle, photos).items():
        chosen = np.linspace(0, len(calls) - 1, min(MOST_CALLS, len(calls))).astype(int)
        batches = [{"image": calls[index].astype(np.float32)} for index in chosen]
        graph = bundle.source(network_name=network, input_shape=(None, None, 3)).stored()
        found = measure_activations(graph, batches, whole=False)
        prefix = bundle.prefix(network)
        for layer, ends in found.ranges.items():
            if not any(fnmatch(prefix + layer, pattern) for pattern in patterns):
                ranges[prefix + layer], means[prefix + layer] = ends, found.means[layer]
    entry = write_means(means, folder)
    card = replace(bundle.card, ranges=ranges, means=entry)
    return replace(bundle, card=card, means=folder / entry["file"])


def measure(data: Path, name: str, bundle: Bundle, rounds: int) -> None:
    """Print the faces and the time of each folder, in float32 and in 8-bit integers."""
    options = {p: replace(OPTIONS, precision=p) for p in ("float32", "int8")}
    detectors = {p: FaceDetector(bundle, Search(MIN_FACE), o) for p, o in options.items()}
    folders = {
        "faces": sorted((data / "faces").rglob("*.jpg")),
        "coco64": sorted((data / "coco64/images").glob("*.jpg")),
        "dogs of catdog": sorted((data / "catdog/dog").glob("*.jpg"))[:100],
    }
    for folder, paths in folders.items():
        counts = {p: [0, 0, 0.0] for p in detectors}
        found: dict[str, list[tuple[np.ndarray, list[Face]]]] = {p: [] for p in detectors}
        for path in paths:
            image = decode(read_bytes(str(path)))
            by_eye = BY_EYE.get(path.relative_to(data).as_posix(), {})
            for precision, detector in detectors.items():
                faces, seconds = timed(detector, image, rounds)
                found[precision].append((image, faces))
                for place, value in enumerate((*judged(faces, by_eye), seconds)):
                    counts[precision][place] += value
        slowest = counts["float32"][2]
        for precision, (true, false, seconds) in counts.items():
            print(
                f"| {len(paths)} {folder} | {name}, {precision} | {true} | {false} | "
                f"{slowest / seconds:.2f} |"
            )
        if folder == "faces":
            compare(found["float32"], found["int8"])


def compare(
    exact: list[tuple[np.ndarray, list[Face]]], own: list[tuple[np.ndarray, list[Face]]]
) -> None:
    """Print how many faces are the same ones, and how far their distances move."""
    embedder = FaceEmbedder.load(precision="float32")
    pairs = [
        (image, face, max(others, key=lambda other, face=face: overlap(face.xyxy, other.xyxy)))
        for (image, faces), (_, others) in zip(exact, own, strict=True)
        for face in faces
        if any(overlap(face.xyxy, other.xyxy) > 0.5 for other in others)
    ]
    vectors = [
        embedder.embed_chips(np.concatenate([embedder.cut(pair[0], [pair[n]]) for pair in pairs]))
        for n in (1, 2)
    ]
    moves = np.abs(np.subtract(*(distances(each, each) for each in vectors)))
    counts = [sum(len(faces) for _, faces in each) for each in (exact, own)]
    moved = moves[np.triu_indices(len(pairs), 1)]
    print(
        f"{counts[0]} faces in float32, {counts[1]} in int8, {len(pairs)} of them the same; "
        f"distances move by at most {moved.max():.4f}, on average {moved.mean():.4f}"
    )


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detectors", nargs="+", default=list(FLOAT), choices=FLOAT)
    parser.add_argument("--float", nargs="*", metavar="PATTERN")
    parser.add_argument("--eight-bits", action="store_true")
    asked = parser.parse_args()
    paths = sorted((asked.data / "imagenet200/images").glob("*.jpg"))[::4]
    photos = [decode(read_bytes(str(path))) for path in paths]
    print("| photos | detector | true faces | false | times float32 |\n|---|---|---|---|---|")
    for name in asked.detectors:
        patterns = FLOAT[name] if asked.float is None else tuple(asked.float)
        with tempfile.TemporaryDirectory() as folder:
            bundle = in_int8(name, photos, patterns, Path(folder))
            bundle = replace(bundle, int8_in_float=asked.eight_bits)
            measure(asked.data, name, bundle, asked.rounds)


if __name__ == "__main__":
    main()
