"""Write the files of a bundle; the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.numpy

from cnnkit.bundles.card import INT8
from cnnkit.bundles.weights import SCALE
from models.convert.network_source import NetworkSource
from models.convert.source import CONVERT_FOLDER, Source

LABELS = CONVERT_FOLDER / "imagenet_labels.txt"
NOTICES = CONVERT_FOLDER / "notices"
# Kept beside the trained parameters.
NOT_TRAINED = ("/moving_mean", "/moving_variance", SCALE)


class HasBundle(Protocol):
    """What has a bundle in a folder, such as a `Source`."""

    @property
    def bundle(self) -> Path:
        """The folder."""


def write_bundle(source: Source | NetworkSource, stored: dict[str, np.ndarray]) -> None:
    """Write weights, labels, license and card; measured figures of the same weights stay.

    Args:
        source: What the bundle is made of.
        stored: The arrays by variable path: float16, or int8 with their scales.
    """
    source.bundle.mkdir(exist_ok=True)
    weights = safetensors.numpy.save(stored)
    trained = sum(a.size for path, a in stored.items() if not path.endswith(NOT_TRAINED))
    card = {
        "schema_version": 1,
        "name": source.name,
        **{key: value for key, value in source.card.items() if key != "license"},
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
            "parameters": trained,
            "dtype": "int8" if any(a.dtype == np.int8 for a in stored.values()) else "float16",
        },
        **(classifier_entries(source) if source.card["task"] == "classify" else {}),
        "license": source.card["license"],
        "source": source.origin,
    }
    card |= int8_before(source, card["weights"]["sha256"])
    card["measured"] = measured_before(source, card["weights"]["sha256"])
    (source.bundle / "weights.safetensors").write_bytes(weights)
    (source.bundle / "LICENSE").write_bytes((NOTICES / f"{source.name}.txt").read_bytes())
    write_card(source, card)


def classifier_entries(source: Source | NetworkSource) -> dict[str, Any]:
    """Write the labels of ImageNet; return what the card of a classifier says besides."""
    labels = LABELS.read_bytes()
    (source.bundle / "labels.txt").write_bytes(labels)
    return {
        "labels": {"file": "labels.txt", "sha256": hashlib.sha256(labels).hexdigest()},
        "calibration": {"temperature": 1.0, "threshold": None},
    }


def measured_before(source: Source | NetworkSource, weights_sha256: str) -> list[dict[str, Any]]:
    """Return the figures that stand in the card already, if they are of these weights."""
    if not (source.bundle / "card.json").exists():
        return []
    card = read_card(source)
    return card["measured"] if card["weights"]["sha256"] == weights_sha256 else []


def int8_before(source: HasBundle, weights_sha256: str) -> dict[str, Any]:
    """Return the card's section of 8-bit integers, if there is one of these weights already."""
    if not (source.bundle / "card.json").exists():
        return {}
    card = read_card(source)
    same = INT8 in card and card["weights"]["sha256"] == weights_sha256
    return {INT8: card[INT8]} if same else {}


def add_measured(
    source: HasBundle,
    figures: dict[str, float],
    data: str,
    command: str,
) -> None:
    """Put figures into the card, in place of earlier ones of the same name."""
    card = read_card(source)
    kept = [entry for entry in card["measured"] if entry["what"] not in figures]
    card["measured"] = kept + [
        {"what": what, "value": value, "data": data, "command": command}
        for what, value in figures.items()
    ]
    card["measured"].sort(key=lambda entry: entry["what"])
    write_card(source, card)


def read_card(source: HasBundle) -> dict[str, Any]:
    """Return the card of the written bundle."""
    return json.loads((source.bundle / "card.json").read_text(encoding="utf-8"))


def write_card(source: HasBundle, card: dict[str, Any]) -> None:
    """Write card.json."""
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (source.bundle / "card.json").write_text(text, encoding="utf-8")
