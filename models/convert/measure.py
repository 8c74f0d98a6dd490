"""Measure an embedded network on labeled photos, and what rounding did to it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from cnnkit.errors import CnnkitError, broken_rule
from models.convert.artifacts import fetch, read_member
from models.convert.bundle_writer import add_measured
from models.convert.conversion import ROUNDING_TOLERANCE
from models.convert.images import prepared_image
from models.convert.source import Source
from models.convert.variables import (
    embedded_network,
    largest_difference,
    logits_of,
    network_with,
    require_close,
)

ROUNDING = "largest move of a logit by rounding the weights to float16"
CHANGED = "photos whose first class changed by rounding the weights to float16"


class MeasureError(CnnkitError):
    """The photos cannot be measured on, or rounding changed a decision."""


def measure(source: Source, data: Path, cache: Path) -> dict[str, float]:
    """Measure as `measured_figures` does, and write the figures into the card.

    Args:
        source: One of `conversion.SOURCES`, converted already.
        data: A folder with ``images/`` and ``labels.csv`` (columns file and class_index).
        cache: Folder of downloads, for the weights before rounding.
    """
    pixels, classes = labeled_photos(data, source)
    figures = measured_figures(source, pixels, classes, cache)
    command = f"python -m models.convert measure {source.name} --data {data.name}"
    add_measured(source, figures, f"{data.name}: {len(classes)} labeled photos", command)
    return figures


def measured_figures(
    source: Source, pixels: np.ndarray, classes: np.ndarray, cache: Path
) -> dict[str, float]:
    """Measure the accuracy of the embedded weights, and their distance from the exact ones.

    Args:
        source: One of `conversion.SOURCES`, converted already.
        pixels: RGB of 0 to 255, uint8 (photos, height, width, 3).
        classes: The true classes, int (photos,).
        cache: Folder of downloads.

    Returns:
        The figures by name.

    Raises:
        MeasureError: Rounding changed the first class of a photo.
        VariablesError: Rounding moved a logit by more than the tolerance.
    """
    embedded = logits_of(embedded_network(source.bundle), pixels)
    figures = {f"top-{k}": top_k_accuracy(embedded, classes, k) for k in (1, 5)}
    if source.read_stored is not None:  # nothing was rounded
        return figures
    member = read_member(source.artifact, fetch(source.artifact, cache))
    exact = logits_of(network_with(source.name, source.read_arrays(member)), pixels)
    figures |= {
        ROUNDING: round(largest_difference(exact, embedded), 4),
        CHANGED: int((exact.argmax(1) != embedded.argmax(1)).sum()),
    }
    require_close(f"{source.name} in float16 and float32", figures[ROUNDING], ROUNDING_TOLERANCE)
    if figures[CHANGED]:
        raise MeasureError(broken_rule(source.name, "keep its first classes", figures[CHANGED]))
    return figures


def labeled_photos(data: Path, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return photos, uint8 (photos, height, width, 3), and their classes, int (photos,).

    Raises:
        MeasureError: There is no list of labels in `data`.
    """
    if not (data / "labels.csv").exists():
        raise MeasureError(broken_rule("--data", "be a folder with labels.csv", data))
    with open(data / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rule = source.card["input"]
    pixels = np.stack([prepared_image(data / "images" / row["file"], rule) for row in rows])
    return pixels, np.array([int(row["class_index"]) for row in rows])


def top_k_accuracy(logits: np.ndarray, classes: np.ndarray, k: int) -> float:
    """Return the share of rows whose class is among the `k` highest logits, 0 to 1."""
    highest = np.argsort(-logits, axis=1)[:, :k]
    return float((highest == classes[:, None]).any(axis=1).mean())
