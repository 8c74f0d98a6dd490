"""What a classifier's numbers mean, and the probabilities that they come to.

A card says it; of a bare ``.keras`` file `cnnkit.bundles.score_reading` reads it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.errors import BundleError, broken_rule

# One row of numbers, or one number that tells two classes apart (in favor of the second).
SCORE_KINDS = ("logits", "probabilities", "independent-logits", "logit", "probability")
ONE_NUMBER = ("logit", "probability")
# Half precision rounds a probability of 1 to as much as this above it.
ROUNDING = 1e-2
LEAST = float(np.finfo(np.float32).tiny)


def columns(kind: str, classes: int) -> int:
    """Return how many numbers a network of that kind gives for one image."""
    return 1 if kind in ONE_NUMBER else classes


def probabilities(scores: np.ndarray, kind: str, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities of the classes.

    Args:
        scores: Float (..., classes), or (..., 1) where one number tells two classes apart.
        kind: One of `SCORE_KINDS`.
        temperature: Above 0; logits are divided by it, and probabilities by way of their logits.

    Returns:
        Float (..., classes), 0 to 1; NaN where a score is.

    Raises:
        BundleError: Scores that should be probabilities are none.
    """
    if kind == "logits":
        return metrics.softmax(scores, temperature)
    if kind in ("logit", "independent-logits"):
        scaled = np.asarray(scores, np.float64) / temperature
        return both(scaled) if kind == "logit" else _sigmoid(scaled)
    if np.any(scores < -ROUNDING) or np.any(scores > 1 + ROUNDING):
        worst = scores.flat[np.argmax(np.abs(scores - 0.5))]
        rule = f"lie between 0 and 1, being of the kind {kind!r}"
        raise BundleError(broken_rule("The model's scores", rule, f"{worst:.6g}"))
    certain = np.clip(scores, 0.0, 1.0)
    if kind == "probability":
        if temperature == 1.0:
            return np.concatenate([1.0 - certain, certain], axis=-1)
        certain = np.concatenate([1.0 - certain, certain], axis=-1)
    if temperature == 1.0:
        return certain
    return metrics.softmax(np.log(np.maximum(certain, LEAST)), temperature)


def both(logit: np.ndarray) -> np.ndarray:
    """Return the probabilities of two classes, (..., 2), of one logit, (..., 1)."""
    return np.concatenate([_sigmoid(-logit), _sigmoid(logit)], axis=-1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    small = np.exp(-np.abs(values))  # never overflows
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def symbolic_probabilities(
    keras: Any, scores: Any, kind: str, temperature: float, name: str
) -> Any:
    """Return what `probabilities` gives, inside a network.

    Args:
        keras: The Keras module.
        scores: Symbolic (batch, classes), or (batch, 1).
        kind: One of `SCORE_KINDS`.
        temperature: Above 0.
        name: Name of the last layer, if a softmax or sigmoid is added.
    """
    ops, layers = keras.ops, keras.layers
    if kind == "probability":
        scores = ops.concatenate([1.0 - scores, scores], axis=-1)
    if kind in ("probability", "probabilities"):
        if kind == "probabilities" and temperature == 1.0:
            return scores
        scores = ops.log(ops.maximum(scores, LEAST))
    if temperature != 1.0:
        scores = layers.Rescaling(1.0 / temperature, name="temperature")(scores)
    if kind == "independent-logits":
        return layers.Activation("sigmoid", name=name, dtype="float32")(scores)
    if kind == "logit":  # the softmax of 0 and a logit is its sigmoid
        scores = ops.concatenate([ops.zeros_like(scores), scores], axis=-1)
    return layers.Softmax(name=name, dtype="float32")(scores)
