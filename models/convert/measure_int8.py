"""Measure an embedded network in 8-bit integers, and write the figures into its card.

Both what every processor with VNNI or AMX gives, computed in float, and what this one gives,
which without them has kernels of 7 bits.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.classification import Classifier, evaluate
from cnnkit.classification.classifier import Decision
from cnnkit.classification.evaluation import TOP_K
from cnnkit.classification.labeled import read_labeled
from cnnkit.detection import Detector
from cnnkit.detection.evaluation import EVALUATED, evaluate_detector
from cnnkit.faces import FaceEmbedder, distances
from cnnkit.formats import read_boxes
from cnnkit.images import image_pixels, prepare
from cnnkit.runtime import RuntimeOptions
from cnnkit.style.one_pass import OnePassPainter
from models.convert.bundle_writer import add_measured
from models.convert.detector import DetectorSource
from models.convert.network_source import NetworkSource
from models.convert.ranges import fitted
from models.convert.source import Source
from models.convert.style_bundle import PainterSource

OPTIONS = RuntimeOptions(precision="int8")
TOP = {"top-1": "top_1", "top-5": "top_5"}
PAINTED_SIDE = 512
BOXES = {"AP": "AP", "AP50": "AP50"}


def measure_int8(
    source: Source | DetectorSource | NetworkSource | PainterSource, data: Path
) -> dict[str, float]:
    """Return the accuracies in 8-bit integers by name, written into the card.

    Args:
        source: Of a classifier, a detector, an embedder of faces, or a painter, with ranges in
            its card.
        data: A folder with ``images/`` and ``labels.csv`` or ``instances.json``; for an embedder
            one of photos with faces; for a painter one with ``content/`` and ``style/``.
    """
    bundle = open_model(source.name)
    measured = MEASURES[bundle.card.task]
    figures, images = measured(replace(bundle, int8_in_float=True), data)
    here, _ = measured(bundle, data)
    figures |= here
    command = f"python -m models.convert measure {source.name} --data {data.name} --precision int8"
    what = COUNTED.get(bundle.card.task, "labeled photos")
    add_measured(source, figures, f"{data.name}: {images} {what}", command)
    return figures


def classifier_figures(bundle: Bundle, data: Path) -> tuple[dict[str, float], int]:
    """Return a classifier's accuracies by name, and the number of photos."""
    images = read_labeled(str(data / "labels.csv"), bundle.labels, str(data / "images"), None)
    classifier = Classifier.from_bundle(bundle, Decision(top_k=TOP_K), options=OPTIONS)
    metrics = evaluate(classifier, images, data=data.name)["metrics"]
    return named(TOP, metrics, classifier.predictor.precision), len(images)


def detector_figures(bundle: Bundle, data: Path) -> tuple[dict[str, float], int]:
    """Return a detector's accuracies by name, and the number of photos."""
    boxes = read_boxes(str(data / "instances.json"), str(data / "images"))
    detector = Detector.from_bundle(bundle, EVALUATED, options=OPTIONS)
    metrics = evaluate_detector(detector, boxes).figures["metrics"]
    return named(BOXES, metrics, detector.predictor.precision), len(boxes.images)


def embedder_figures(bundle: Bundle, data: Path) -> tuple[dict[str, float], int]:
    """Return how far a distance between two faces moves from float32, and the number of faces."""
    exact = FaceEmbedder.load(embedder=bundle.card.name, min_face=20, precision="float32")
    own = FaceEmbedder(exact.detector, bundle, options=OPTIONS)
    photos = [exact.read(str(path)) for path in sorted(data.rglob("*.jpg"))]
    faces = np.concatenate([exact.cut(photo, exact.find(photo)) for photo in photos])
    moves = np.subtract(*(distances(e, e) for e in (e.embed_chips(faces) for e in (exact, own))))
    moves = np.abs(moves[np.triu_indices(len(faces), 1)])
    precision = own.predictor.precision
    return {
        f"{name} move of a distance of two faces, {precision}": round(float(move), 4)
        for name, move in (("largest", moves.max()), ("mean", moves.mean()))
    }, len(faces)


def painter_figures(bundle: Bundle, data: Path) -> tuple[dict[str, float], int]:
    """Return how near painted images are to those in float32, and their number.

    Each image is brought to `PAINTED_SIDE` pixels and painted in each style.
    """
    exact = OnePassPainter(open_model(bundle.card.name), RuntimeOptions(precision="float32"))
    own = OnePassPainter(bundle, OPTIONS)
    contents, styles = (sorted((data / name).iterdir()) for name in ("content", "style"))
    photos = [image_pixels(content) for content in contents]
    images = [prepare(photo, fitted(photo, PAINTED_SIDE)) for photo in photos]
    vectors = [exact.style_of(image_pixels(style)) for style in styles]
    found = [
        peak_signal_to_noise(exact.painted(image, vector), own.painted(image, vector))
        for image, vector in itertools.product(images, vectors)
    ]
    return {
        f"{name} PSNR of a painted image against float32 in dB, {own.precision}": round(value, 1)
        for name, value in (("lowest", min(found)), ("mean", float(np.mean(found))))
    }, len(found)


def peak_signal_to_noise(some: np.ndarray, others: np.ndarray) -> float:
    """Return how near two images, uint8, are to each other, dB."""
    squares = np.subtract(some, others, dtype=np.float64) ** 2
    return float(10 * np.log10(255**2 / max(squares.mean(), 1e-12)))


COUNTED = {"embed-face": "faces", "stylize": "painted images"}
MEASURES = {
    "classify": classifier_figures,
    "detect": detector_figures,
    "embed-face": embedder_figures,
    "stylize": painter_figures,
}


def named(names: dict[str, str], metrics: dict[str, float], precision: str) -> dict[str, float]:
    """Return some metrics by their names in a card."""
    return {f"{name}, {precision}": round(metrics[key], 4) for name, key in names.items()}
