"""Runs an export beside the bundle itself: the two must agree."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.bundles import Bundle
from cnnkit.errors import CnnkitError, ImageError, UsageError, broken_rule
from cnnkit.export.conversion import first_line
from cnnkit.export.formats import FORMATS, Run
from cnnkit.images import Finder, InputSpec, prepare
from cnnkit.runtime import RuntimeOptions, predictor
from cnnkit.runtime.process import silenced_standard_error

# The largest difference of a probability, as a share of it. Measured: at most 2e-5 for the
# embedded models in every format. A converter's fault moves a probability by more than itself.
TOLERANCE = 1e-3
# Added to the probability that is divided by: what is next to nothing may differ by a share.
NEGLIGIBLE = 1e-6
SYNTHETIC_PICTURES = 8
# Enough to show a fault; all of them are in memory at once.
MAX_PICTURES = 32

log = logging.getLogger(__name__)


class CheckFailedError(CnnkitError):
    """The export does not give what the bundle gives; it was not kept.

    Attributes:
        difference: The largest difference of a probability as a share of it; NaN or infinity
            where the outputs cannot be compared.
    """

    def __init__(self, message: str, difference: float) -> None:
        super().__init__(message)
        self.difference = difference


def synthetic_pictures(height: int, width: int, count: int = SYNTHETIC_PICTURES) -> np.ndarray:
    """Return coloured patches of six sizes over soft gradients, the same ones every time.

    They have coarse and fine structure in every channel, as photos have, so that wrong
    colours, borders or sizes move the output; any network can be checked on them.

    Returns:
        uint8 (count, height, width, 3), each using the whole range 0-255.
    """
    random = np.random.default_rng(20150501)
    patches = np.zeros((count, height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64):
        noise = random.normal(size=(count, cells, cells, 3))
        rows, columns = (np.arange(side) * cells // side for side in (height, width))
        patches += noise[:, rows][:, :, columns] / np.sqrt(cells)
    patches += random.normal(size=(count, 1, 1, 3)) * np.linspace(-1, 1, width)[:, None]
    least = patches.min(axis=(1, 2, 3), keepdims=True)
    patches = (patches - least) / np.ptp(patches, axis=(1, 2, 3), keepdims=True)
    return np.round(255 * patches).astype(np.uint8)


def read_pictures(folder: str, spec: InputSpec) -> np.ndarray:
    """Read pictures as the network takes them; those that cannot be read are named.

    Returns:
        uint8 (n, height, width, 3), the first `MAX_PICTURES`.

    Raises:
        UsageError: None can be read.
    """
    pictures: list[np.ndarray] = []
    for found in Finder([folder]):
        if len(pictures) == MAX_PICTURES:
            break
        try:
            if found.failure is not None:
                raise ImageError(found.failure.kind, found.failure.message)
            pictures.append(prepare(found.path, spec))
        except ImageError as error:
            log.warning("%s: %s: %s", found.path, error.kind, error.message)
    if not pictures:
        rule = "name pictures of which one at least can be read"
        raise UsageError(broken_rule("--check-on", rule, folder))
    return np.stack(pictures)


def reference(bundle: Bundle, network: Any, pictures: np.ndarray) -> np.ndarray:
    """Return what the bundle itself says: TensorFlow on the processor in float32.

    The softmax is NumPy's, so that the one in the export is checked as well.

    Returns:
        float (n, classes).
    """
    source = replace(bundle.source(), build=lambda precision: network)  # it is built already
    options = RuntimeOptions(device="cpu", runtime="tensorflow", precision="float32")
    scores = predictor(source, options).predict(pictures)["scores"]
    if bundle.card.scores_kind == "probability":
        return np.concatenate([1.0 - scores, scores], axis=1)
    if bundle.card.scores_kind == "probabilities":
        return scores
    return metrics.softmax(scores, bundle.card.temperature)


def compare(
    form: str, path: Path, pictures: np.ndarray, expected: np.ndarray, batch: int | None
) -> float:
    """Run an export and return its largest difference, as a share of a probability.

    A dynamic batch is tried with all pictures at once and one by one.

    Raises:
        CheckFailedError: It cannot be run, or differs by more than `TOLERANCE`.
    """
    sizes = (batch,) if batch else (len(pictures), 1)
    try:
        with silenced_standard_error():
            run = FORMATS[form].opener(path)
            worst = float(np.max([_difference(run, pictures, expected, n) for n in sizes]))
    except Exception as error:  # engines raise whatever their own libraries do
        reason = f"the {form} export cannot be run: {first_line(error)}"
        raise CheckFailedError(f"{reason} It was deleted.", float("nan")) from error
    if not worst <= TOLERANCE:  # NaN fails too
        rule = f"differ by at most {TOLERANCE:g} of a probability from the model itself"
        fix = "It was deleted."
        received = f"{worst:.3g} on {len(pictures)} pictures"
        raise CheckFailedError(broken_rule(f"the {form} export", rule, received, fix), worst)
    return worst


def _difference(run: Run, pictures: np.ndarray, expected: np.ndarray, size: int) -> float:
    """Return the largest relative difference with that many pictures a call."""
    worst = []
    for start in range(0, len(pictures), size):
        chosen = np.arange(start, start + size) % len(pictures)  # a last batch is filled up
        given, wanted = run(pictures[chosen]), expected[chosen]
        if given.shape != wanted.shape:
            raise ValueError(f"its output has the shape {given.shape}, not {wanted.shape}.")
        worst.append(np.max(np.abs(given - wanted) / (wanted + NEGLIGIBLE)))
    return float(np.max(worst))
