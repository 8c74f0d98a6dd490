"""From a detector's pinned source to a finished bundle, held to the original on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from models.convert.artifacts import Artifact
from models.convert.bundle_writer import int8_before
from models.convert.golden import IMAGES, IMAGES_FOLDER, PATTERNS, pattern
from models.convert.images import prepared_image
from models.convert.rounding import rounded_arrays
from models.convert.source import CONVERT_FOLDER, MODELS_FOLDER
from models.convert.variables import largest_difference, network_with, require_close

LABELS = CONVERT_FOLDER / "coco_labels.txt"
# COCO's numbers of its 80 classes: ten of 1 to 90 are not used.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORY_IDS = [number for number in range(1, 91) if number not in UNUSED]
KEPT = 12  # numbers of each output in the golden
DECIMALS = 4

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class DetectorSource:
    """One pretrained detector: where it comes from and how it becomes a bundle.

    Attributes:
        name: Of the bundle and of the builder in `cnnkit.architectures`.
        artifact: The pinned file that holds the weights.
        card: The hand-written part of card.json.
        runner: The library that runs the original, for the card.
        read_arrays: From the cache of downloads to float32 arrays by variable path.
        original_outputs: From the cache and RGB pixels of 0 to 255, uint8 (batch, height, width,
            3), to what the original network gives, by the names of the card's outputs.
        comparable: From raw outputs of the converted network to what the original gives.
        original_tolerance: The largest difference from the original, before rounding.
        rounding_tolerance: The largest move of a raw output by rounding the weights.
    """

    name: str
    artifact: Artifact
    card: dict[str, Any]
    runner: str
    read_arrays: Callable[[Path], Arrays]
    original_outputs: Callable[[Path, np.ndarray], Arrays]
    original_tolerance: float
    rounding_tolerance: float
    comparable: Callable[[Arrays], Arrays] = dict

    @property
    def bundle(self) -> Path:
        """The folder of the finished bundle."""
        return MODELS_FOLDER / self.name

    @property
    def side(self) -> int:
        """Of the square input, in pixels."""
        return self.card["input"]["height"]

    @property
    def command(self) -> str:
        """What measures the figures of the conversion."""
        return f"python -m models.convert {self.name} --check-original"

    def network(self, arrays: Arrays) -> keras.Model:
        """Return the network with these values in its variables."""
        return network_with(self.name, arrays, **self.card["architecture"]["arguments"])


def convert(source: DetectorSource, cache: Path, check_original: bool) -> float:
    """Write the bundle of a source.

    Args:
        source: What to convert.
        cache: Folder of downloads.
        check_original: Whether to run the original, hold the conversion to all its outputs, and
            write the golden anew; otherwise it is held to the golden.

    Returns:
        The largest difference of an output from the original, before rounding.

    Raises:
        cnnkit.errors.CnnkitError: The file is not the pinned one, or an output differs too much.
            Nothing is written then.
    """
    arrays = source.read_arrays(cache)
    rounded = rounded_arrays(arrays)
    pixels = golden_pixels(source.side)
    exact, embedded = (outputs_of(source.network(a), pixels) for a in (arrays, rounded))
    if check_original:
        original = source.original_outputs(cache, pixels)
        difference = outputs_difference(original, source.comparable(exact))
    else:
        golden = read_golden(source.bundle)
        difference = golden_difference(golden, source.comparable(exact), "original")
    require_close(f"{source.name} and the original", difference, source.original_tolerance)
    rounding = outputs_difference(exact, embedded)
    require_close(f"{source.name} in float16 and float32", rounding, source.rounding_tolerance)
    figures = figures_before(source.bundle)
    if check_original:
        figures = with_figures(source, figures, difference, rounding)
    write(source, rounded, figures)
    if check_original:
        write_golden(source.bundle, golden_of(original, source.comparable(embedded)))
    return difference


def golden_pixels(side: int) -> np.ndarray:
    """Return the inputs of the golden: patterns and examples, uint8 (5, side, side, 3)."""
    rule = {"height": side, "width": side, "fit": "stretch", "interpolation": "lanczos"}
    made = [pattern(name, side, side) for name in PATTERNS]
    return np.stack(made + [prepared_image(IMAGES_FOLDER / name, rule) for name in IMAGES])


def outputs_of(model: keras.Model, pixels: np.ndarray) -> Arrays:
    """Return the raw outputs by name, float32, of uint8 images (batch, height, width, 3)."""
    found = model.predict(pixels.astype(np.float32), batch_size=5, verbose=0)
    return {name: np.asarray(values) for name, values in found.items()}


def outputs_difference(one: Arrays, other: Arrays) -> float:
    """Return the largest difference of any output, by name."""
    return max(largest_difference(values, other[name]) for name, values in one.items())


def kept(output: np.ndarray) -> np.ndarray:
    """Return the numbers of an output that stand in the golden, float32 (batch, `KEPT`)."""
    flat = output.reshape(len(output), -1)
    return flat[:, np.linspace(0, flat.shape[1] - 1, KEPT).round().astype(int)]


def golden_of(original: Arrays, embedded: Arrays) -> dict[str, Any]:
    """Return what the golden keeps of the outputs of the original and of the bundle."""
    return {
        name: {
            column: kept(outputs[name]).round(DECIMALS).astype(float).tolist()
            for column, outputs in (("original", original), ("embedded", embedded))
        }
        for name in original
    }


def golden_difference(golden: dict[str, Any], outputs: Arrays, column: str) -> float:
    """Return how far outputs are from the golden's ``original`` or ``embedded`` numbers."""
    return max(
        largest_difference(np.array(columns[column]), kept(outputs[name]))
        for name, columns in golden.items()
    )


def read_golden(bundle: Path) -> dict[str, Any]:
    """Return the golden of a bundle."""
    return json.loads((bundle / "golden.json").read_text(encoding="utf-8"))


def write_golden(bundle: Path, golden: dict[str, Any]) -> None:
    """Write the golden, one input's numbers a line."""
    rows = {
        name: {c: [json.dumps([round(x, DECIMALS) for x in row]) for row in values]
               for c, values in columns.items()}
        for name, columns in golden.items()
    }  # fmt: skip
    text = json.dumps(rows, indent=1).replace('"[', "[").replace(']"', "]")
    (bundle / "golden.json").write_text(text + "\n", encoding="utf-8")


def with_figures(
    source: DetectorSource, figures: list[dict[str, Any]], difference: float, rounding: float
) -> list[dict[str, Any]]:
    """Return the figures of the card with the two that the conversion measures."""
    original = f"largest difference of a raw output from the original by {source.runner}"
    measured = {
        f"{original}, before rounding": difference,
        "largest move of a raw output by rounding the weights to float16": rounding,
    }
    others = [one for one in figures if one["what"] not in measured]
    fresh = [
        {
            "what": what,
            "value": float(f"{value:.2g}"),
            "data": "inputs of golden.json",
            "command": source.command,
        }
        for what, value in measured.items()
    ]
    return sorted(others + fresh, key=lambda one: one["what"])


def figures_before(bundle: Path) -> list[dict[str, Any]]:
    """Return the measured figures that stand in a bundle's card."""
    path = bundle / "card.json"
    return json.loads(path.read_text(encoding="utf-8"))["measured"] if path.exists() else []


def write(source: DetectorSource, rounded: Arrays, figures: list[dict[str, Any]]) -> None:
    """Write weights, labels, license and card; the same input gives the same bytes."""
    source.bundle.mkdir(exist_ok=True)
    weights, labels = safetensors.numpy.save(rounded), LABELS.read_bytes()
    card = {
        "schema_version": 1,
        "name": source.name,
        **{key: value for key, value in source.card.items() if key != "license"},
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(weights).hexdigest(),
            "bytes": len(weights),
            "parameters": sum(a.size for p, a in rounded.items() if "/moving_" not in p),
            "dtype": "float16",
        },
        "labels": {"file": "labels.txt", "sha256": hashlib.sha256(labels).hexdigest()},
        "license": source.card["license"],
        "source": asdict(source.artifact),
    }
    card |= int8_before(source, card["weights"]["sha256"])
    card["measured"] = figures
    (source.bundle / "weights.safetensors").write_bytes(weights)
    (source.bundle / "labels.txt").write_bytes(labels)
    notice = CONVERT_FOLDER / "notices" / f"{source.name}.txt"
    (source.bundle / "LICENSE").write_bytes(notice.read_bytes())
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (source.bundle / "card.json").write_text(text, encoding="utf-8")
