"""Calibration of a classifier: the temperature of its softmax, and a threshold for `unknown`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

# Far outside what networks need (0.5 to 5); a bound only where the data would have none.
TEMPERATURE_RANGE = (0.05, 20.0)
# Thresholds are rounded down to this, so that arithmetic noise turns no decision around.
THRESHOLD_STEP = 1e-4


@dataclass(frozen=True)
class Threshold:
    """Where `unknown` begins.

    Attributes:
        value: A best score below it gives ``unknown``, 0 to 1.
        precision: The share of right predictions among the accepted, 0 to 1.
        coverage: The share of images that are accepted, 0 to 1.
    """

    value: float
    precision: float
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """Return the threshold ready for JSON."""
        return asdict(self)


def log_loss(logits: np.ndarray, truth: np.ndarray, temperature: float = 1.0) -> float:
    """Return the mean negative log probability of the true class, in nats.

    Args:
        logits: float (samples, classes).
        truth: Integer class indices (samples,).
        temperature: Above 0; the logits are divided by it.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    own = np.take_along_axis(scaled, np.asarray(truth)[:, None], axis=1)[:, 0]
    return float((logsumexp(scaled, axis=1) - own).mean())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature that makes a classifier's probabilities fit the truth best.

    The logits divided by it have the least log loss: Guo, Pleiss, Sun, Weinberger, "On
    Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599. No
    decision changes. Where all predictions are right the plain optimum would be 0, that is, the
    claim never to err; so, much as Platt did ("Probabilistic Outputs for Support Vector
    Machines", 1999), the true class counts as (samples + 1/2) / (samples + 1), the rest being
    shared evenly, which is the estimate of Krichevsky and Trofimov for no error so far.

    Args:
        logits: float (samples, classes), at least 2 classes, of images not trained on.
        truth: Integer class indices (samples,).

    Returns:
        Above 0; above 1 the classifier was too sure of itself, below 1 not sure enough.

    Raises:
        ValueError: There is no sample, or the shapes do not fit.
    """
    logits, truth = np.asarray(logits, np.float64), np.asarray(truth)
    if logits.ndim != 2 or logits.shape[1] < 2 or truth.shape != logits.shape[:1] or not len(truth):
        raise ValueError(
            "`logits` must have shape (samples, classes) and `truth` (samples,), not empty, with "
            f"at least 2 classes. Received: {logits.shape} and {truth.shape}."
        )
    samples, classes = logits.shape
    own = np.take_along_axis(logits, truth[:, None], axis=1)[:, 0]
    others = (logits.sum(axis=1) - own) / (classes - 1)
    believed = (samples + 0.5) / (samples + 1)
    expected = believed * own + (1 - believed) * others  # of the smoothed truth, (samples,)

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float((logsumexp(logits * scale, axis=1) - expected * scale).mean())

    low, high = (math.log(bound) for bound in TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    return float(math.exp(found.x))


def threshold_for_precision(
    confidence: np.ndarray, correct: np.ndarray, precision: float
) -> Threshold | None:
    """Return the lowest threshold above which predictions are right often enough.

    Args:
        confidence: The probability of each prediction (samples,), 0 to 1.
        correct: Whether it was right (samples,), bool.
        precision: The share that must be right, over 0 and under 1.

    Returns:
        The threshold that accepts the most; or None if none reaches the precision on so
        many images that a single mistake among them would be allowed, which is the least
        that can show it (20 for 0.95).

    Raises:
        ValueError: `precision` lies outside, or the shapes differ.
    """
    if not 0 < precision < 1:
        raise ValueError(
            f"`precision` must be over 0 and under 1. Received: precision={precision}."
        )
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(
            "`confidence` and `correct` must both have shape (samples,). "
            f"Received: {confidence.shape} and {correct.shape}."
        )
    rounded = np.floor(confidence / THRESHOLD_STEP) * THRESHOLD_STEP
    least = math.ceil(1 / (1 - precision) - 1e-9)
    for value in np.unique(rounded):  # from low to high: the first accepts the most
        accepted = rounded >= value
        if accepted.sum() < least:
            return None
        reached = float(correct[accepted].mean())
        if reached >= precision:
            return Threshold(round(float(value), 4), reached, float(accepted.mean()))
    return None
