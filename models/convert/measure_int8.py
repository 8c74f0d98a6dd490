"""Measure an embedded network in 8-bit integers, and write the figures into its card.

Both what every processor with VNNI or AMX gives, computed in float, and what this one gives,
which without them has kernels of 7 bits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cnnkit.bundles import Bundle, open_model
from cnnkit.classification import Classifier, evaluate
from cnnkit.classification.classifier import Decision
from cnnkit.classification.evaluation import TOP_K
from cnnkit.classification.labeled import read_labeled
from cnnkit.detection import Detector
from cnnkit.detection.evaluation import EVALUATED, evaluate_detector
from cnnkit.formats import read_boxes
from cnnkit.runtime import RuntimeOptions
from models.convert.bundle_writer import add_measured
from models.convert.detector import DetectorSource
from models.convert.source import Source

OPTIONS = RuntimeOptions(precision="int8")
TOP = {"top-1": "top_1", "top-5": "top_5"}
BOXES = {"AP": "AP", "AP50": "AP50"}


def measure_int8(source: Source | DetectorSource, data: Path) -> dict[str, float]:
    """Return the accuracies in 8-bit integers by name, written into the card.

    Args:
        source: One of `conversion.SOURCES` or `conversion.DETECTORS`, with ranges in its card.
        data: A folder with ``images/`` and ``labels.csv`` or ``instances.json``.
    """
    bundle = open_model(source.name)
    measured = classifier_figures if bundle.card.task == "classify" else detector_figures
    figures, images = measured(replace(bundle, int8_in_float=True), data)
    here, _ = measured(bundle, data)
    figures |= here
    command = f"python -m models.convert measure {source.name} --data {data.name} --precision int8"
    add_measured(source, figures, f"{data.name}: {images} labeled photos", command)
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


def named(names: dict[str, str], metrics: dict[str, float], precision: str) -> dict[str, float]:
    """Return some metrics by their names in a card."""
    return {f"{name}, {precision}": round(metrics[key], 4) for name, key in names.items()}
