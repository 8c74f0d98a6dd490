"""The golden beside a card: a few inputs, and what the original computed for them.

The inputs are patterns from whole-number formulas, alike on every machine, and example
images of this project. For each, some logits of the original network before rounding and
of the embedded float16 weights are written down, so that both can be checked without the
original.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import CnnkitError
from models.convert.images import prepared_image
from models.convert.source import MODELS_FOLDER

IMAGES_FOLDER = MODELS_FOLDER.parent / "examples" / "images"
IMAGES = ("cat.jpg", "rocket.jpg")
TOP, STEP = 5, 125  # the highest five logits, and every 125th
DECIMALS = 5


class GoldenError(CnnkitError):
    """There is no golden to hold the conversion to."""


def waves(rows: np.ndarray, columns: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Slanting triangle waves, of another slope in each channel."""
    return abs((rows * (3 + channels) + columns * (5 - 2 * channels)) % 510 - 255)


def checks(rows: np.ndarray, columns: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """A chequerboard of orange and blue, 16 by 24 pixels a field."""
    fields = np.array([[230, 120, 30], [20, 90, 200]])
    return fields[(rows // 16 + columns // 24) % 2, channels]


def noise(rows: np.ndarray, columns: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Bits of a hash of the position."""
    return ((rows * 73856093) ^ (columns * 19349663) ^ (channels * 83492791)) >> 7 & 255


PATTERNS: dict[str, Callable[..., np.ndarray]] = {
    "waves": waves,
    "checks": checks,
    "noise": noise,
}


def pattern(name: str, height: int, width: int) -> np.ndarray:
    """Return a pattern of `PATTERNS`, uint8 (height, width, 3)."""
    return PATTERNS[name](*np.indices((height, width, 3))).astype(np.uint8)


def golden_inputs() -> list[dict[str, str]]:
    """Return what the inputs are: patterns by name, images by file and sha256."""
    images = [
        {
            "picture": name,
            "sha256": hashlib.sha256((IMAGES_FOLDER / name).read_bytes()).hexdigest(),
        }
        for name in IMAGES
    ]
    return [{"pattern": name} for name in PATTERNS] + images


def golden_pixels(inputs: list[dict[str, Any]], rule: dict[str, Any]) -> np.ndarray:
    """Return the inputs as the network sees them.

    Args:
        inputs: Entries with a ``pattern`` or an ``image``.
        rule: The card's ``input``.

    Returns:
        RGB of 0 to 255, uint8 (inputs, height, width, 3).
    """
    return np.stack(
        [
            pattern(entry["pattern"], rule["height"], rule["width"])
            if "pattern" in entry
            else prepared_image(IMAGES_FOLDER / entry["picture"], rule)
            for entry in inputs
        ]
    )


def with_logits(
    entry: dict[str, str], original: np.ndarray, embedded: np.ndarray
) -> dict[str, Any]:
    """Return the entry with the logits that are kept: the highest, then every `STEP`-th.

    Args:
        entry: Which input it is.
        original: Logits of the original, float32 (classes,).
        embedded: Logits of the float16 weights, float32 (classes,).
    """
    indices = [*np.argsort(-original, kind="stable")[:TOP], *range(0, original.size, STEP)]
    return entry | {
        "logits": [
            {
                "index": int(index),
                "original": round(float(original[index]), DECIMALS),
                "embedded": round(float(embedded[index]), DECIMALS),
            }
            for index in indices
        ]
    }


def golden_difference(golden: list[dict[str, Any]], logits: np.ndarray, column: str) -> float:
    """Return how far logits are from the written ones, at most.

    Args:
        golden: Entries as `with_logits` returns them.
        logits: float32 (inputs, classes), in the same order.
        column: ``original`` or ``embedded``.
    """
    return max(
        abs(float(row[kept["index"]]) - kept[column])
        for entry, row in zip(golden, logits, strict=True)
        for kept in entry["logits"]
    )


def write_golden(path: Path, golden: list[dict[str, Any]]) -> None:
    """Write the golden as JSON with one logit per line, for eyes and for diffs."""
    text = json.dumps(golden, indent=1)
    for name in ("original", "embedded"):  # the json module knows either one line or many
        text = text.replace(f'\n    "{name}"', f' "{name}"')
    text = text.replace('{\n    "index"', '{"index"').replace("\n   }", "}")
    path.write_text(text + "\n", encoding="utf-8")


def read_golden(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a golden file."""
    return json.loads(path.read_text(encoding="utf-8"))
