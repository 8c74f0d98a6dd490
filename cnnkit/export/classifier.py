"""A classifier as it is exported: pixels in, calibrated probabilities out."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.bundles import Bundle, ModelCard
from cnnkit.export.networks import NetworkExport, Output, Request, fitted, picture_input

OUTPUT = "probabilities"
# The logarithm of nothing is that of the least float32 that is not subnormal.
LEAST = 1.2e-38


def classifier_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport]:
    """Describe the export of a classifier, for the task ``classify``.

    Raises:
        UsageError: A size is asked for.
    """
    card = bundle.card
    request.refuse_size(card.name, card.input.height, card.input.width)
    meaning = "probability of each label: softmax and temperature are inside"
    exported = NetworkExport(
        name=None,
        inputs=(picture_input(card.input.height, card.input.width, fitted(card.input)),),
        outputs=(Output(OUTPUT, meaning, "probability", "a probability"),),
        ending=lambda keras, raw: {OUTPUT: calibrated(keras, raw["scores"], card)},
        expected=lambda raw: {OUTPUT: probabilities(raw["scores"], card)},
        samples=lambda earlier: [{"image": request.fitting(card.input)}],
        batch=request.batch,
        facts={
            "calibration": {"temperature": card.temperature, "threshold": card.threshold},
            "labels": list(bundle.labels),
        },
    )
    return (exported,)


def calibrated(keras: Any, scores: Any, card: ModelCard) -> Any:
    """Return the probabilities of the model's scores; the network ends in a Softmax layer.

    `cnnkit.bundles` reads off that layer what a bare ``.keras`` file gives.
    """
    if card.scores_kind == "probabilities":
        return scores
    if card.scores_kind == "probability":  # one sigmoid: the second of two classes
        both = keras.ops.concatenate([1.0 - scores, scores], axis=-1)
        scores = keras.ops.log(keras.ops.maximum(both, LEAST))
    elif card.temperature != 1.0:
        scores = keras.layers.Rescaling(1.0 / card.temperature, name="temperature")(scores)
    return keras.layers.Softmax(name=OUTPUT, dtype="float32")(scores)


def probabilities(scores: np.ndarray, card: ModelCard) -> np.ndarray:
    """Return the same by NumPy, so that the softmax in the export is checked as well.

    Args:
        scores: Float (n, classes), or (n, 1) where one sigmoid tells two classes apart.
        card: The model's.

    Returns:
        Float (n, classes).
    """
    if card.scores_kind == "probability":
        return np.concatenate([1.0 - scores, scores], axis=1)
    if card.scores_kind == "probabilities":
        return scores
    return metrics.softmax(scores, card.temperature)
