"""The state of an optimization: what must be kept to resume it as if nothing had been.

It is a safetensors file: arrays and one JSON text, nothing that runs, and its size is checked
against the image's before anything is read.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.weights import tensor_shapes
from cnnkit.errors import BundleError
from cnnkit.writers.replacing import replacing
from cnnkit.writers.targets import make_folder

ARRAYS = ("pixels", "first_moment", "second_moment", "average")
MAX_FACTS_BYTES = 1 << 20


@dataclass
class OptimizationState:
    """Where an optimization stands.

    Attributes:
        pixels: The image, float32 (height, width, 3), 0 to 255.
        first_moment: Adam's mean of the gradients, of the same shape.
        second_moment: Adam's mean of their squares.
        average: The decaying sum of the iterates of this scale.
        average_weight: The sum of their weights.
        scale: Which scale it is at, from 0.
        step: Steps made at this scale.
        count: Steps made in all.
        seconds: Time spent so far.
        curve: Lists of step, content loss, style loss and total variation.
    """

    pixels: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray
    average: np.ndarray
    average_weight: float = 0.0
    scale: int = 0
    step: int = 0
    count: int = 0
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)

    @classmethod
    def starting_from(cls, pixels: np.ndarray) -> OptimizationState:
        """Return the state before the first step."""
        first, second, average = (np.zeros_like(pixels, np.float32) for _ in range(3))
        return cls(pixels.astype(np.float32), first, second, average)

    def image(self) -> np.ndarray:
        """Return the average of the latest iterates, float32 (height, width, 3), 0 to 255."""
        if self.average_weight <= 0:
            return self.pixels
        return np.clip(self.average / np.float32(self.average_weight), 0, 255)


def save_state(path: Path, state: OptimizationState, run: dict[str, Any]) -> None:
    """Write a state, whole or not at all.

    Args:
        path: The file; its folder is made.
        state: What to keep.
        run: What must be the same when it is resumed: settings, inputs, versions.

    Raises:
        OutputError: The output cannot be written.
    """
    from safetensors.numpy import save

    facts = {
        name: getattr(state, name)
        for name in ("average_weight", "scale", "step", "count", "seconds", "curve")
    }
    text = json.dumps({"run": run, "facts": facts})
    arrays = {name: np.ascontiguousarray(getattr(state, name), np.float32) for name in ARRAYS}
    make_folder(path.parent)  # each time: another run that ends removes it where it is empty
    with replacing(path) as file:
        file.write(save(arrays, {"cnnkit_stylize": text}))


def load_state(
    path: Path, run: dict[str, Any], sizes: list[tuple[int, int]]
) -> OptimizationState | None:
    """Return the state that a killed run left, or None if there is none to resume.

    Args:
        path: The file.
        run: As for `save_state`; a state of another run is not taken.
        sizes: (height, width) of each scale.
    """
    try:
        shapes = tensor_shapes(path)
        return _read(path, run, sizes, shapes)
    except (BundleError, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # torn or foreign: the image is made from its beginning


def _read(
    path: Path,
    run: dict[str, Any],
    sizes: list[tuple[int, int]],
    shapes: dict[str, tuple[int, ...]],
) -> OptimizationState | None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get("cnnkit_stylize", "")
        if len(text) > MAX_FACTS_BYTES:
            return None
        found = json.loads(text)
        facts = found["facts"]
        if found["run"] != json.loads(json.dumps(run)):
            return None
        if not _are_sound(facts, len(sizes)):
            return None
        expected = (*sizes[facts["scale"]], 3)
        if set(shapes) != set(ARRAYS) or any(shape != expected for shape in shapes.values()):
            return None
        arrays = [file.get_tensor(name).astype(np.float32) for name in ARRAYS]
    if not all(np.isfinite(array).all() for array in arrays):
        return None
    return OptimizationState(*arrays, **facts)


def _are_sound(facts: dict[str, Any], scales: int) -> bool:
    """Return whether the facts of a state, which is untrusted, are of their kinds."""
    counts = [facts[name] for name in ("scale", "step", "count")]
    numbers = [facts["average_weight"], facts["seconds"]]
    for row in facts["curve"]:
        if len(row) != 4:
            return False
        numbers += row
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and facts["scale"] < scales
        and all(type(x) in (int, float) and math.isfinite(x) for x in numbers)
    )
