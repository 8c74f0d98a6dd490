"""Metrics of classifiers as pure numpy functions.

Every function takes plain arrays and returns numbers, arrays or small frozen tables; none
keeps state. Rates lie between 0 and 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 averaged over classes, each 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of every class, and their averages.

    Attributes:
        precision: float64 (classes,); 0 for a class that was never predicted.
        recall: float64 (classes,); 0 for a class that never occurs.
        f1: float64 (classes,); 0 for a class that neither occurs nor was predicted.
        support: int64 (classes,), how often each class occurs in the truth.
        macro: Plain means over the classes that occur or were predicted.
        weighted: Means over all classes, weighted by support.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    macro: Averages
    weighted: Averages


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: the samples whose confidence lies in (low, high].

    Attributes:
        low: Lower edge, exclusive (the first bin also holds a confidence of exactly 0).
        high: Upper edge, inclusive.
        count: How many samples fall in the bin.
        confidence: Their mean confidence, or None for an empty bin.
        accuracy: The share of them that is correct, or None for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the bin ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, and the bins that it is the weighted mean of."""

    error: float
    bins: tuple[ReliabilityBin, ...]


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into probabilities: exp(z / T) over its sum along the last axis.

    The row's maximum is subtracted first, so that no finite logit overflows.

    Args:
        logits: (..., classes), any real dtype. ``-inf`` gives probability 0; a row that holds
            NaN or ``+inf``, or nothing but ``-inf``, gives NaN throughout.
        temperature: Above 0; above 1 it flattens the distribution.

    Returns:
        Probabilities of the same shape: float64 for float64 or integers, else float32.

    Raises:
        ValueError: When `temperature` is not a finite number above 0, or there is no class.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"`temperature` must be a finite number above 0. Received: temperature={temperature}."
        )
    logits = np.asarray(logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"`logits` must have shape (..., classes). Received: shape={logits.shape}."
        )
    dtype = np.float32 if logits.dtype in (np.float16, np.float32) else np.float64
    with np.errstate(invalid="ignore"):  # inf - inf is NaN on purpose, see the docstring
        shifted = logits.astype(dtype) - logits.max(axis=-1, keepdims=True).astype(dtype)
        exponentials = np.exp(shifted / dtype(temperature))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)


def top_k_accuracy(scores: np.ndarray, truth: np.ndarray, k: int = 1) -> float:
    """Return the share of samples whose true class is among the `k` highest scores.

    Classes with equal scores rank by index, the lower first, as ``argmax`` and a stable sort
    do: a tie never counts a class twice and never depends on the sorting algorithm.

    Args:
        scores: (samples, classes), higher is surer; logits and probabilities both serve.
        truth: Integer class indices (samples,).
        k: At least 1; from the number of classes up the answer is 1.

    Raises:
        ValueError: When shapes, indices or `k` do not fit, a score is NaN, or there is no sample.
    """
    scores, truth = np.asarray(scores), np.asarray(truth)
    if k < 1:
        raise ValueError(f"`k` must be at least 1. Received: k={k}.")
    if scores.ndim != 2 or scores.shape[:1] != truth.shape:
        raise ValueError(
            "`scores` must have shape (samples, classes) and `truth` (samples,). "
            f"Received: {scores.shape} and {truth.shape}."
        )
    _check_samples(len(truth))
    _check_indices("truth", truth, scores.shape[1])
    if np.isnan(scores).any():
        raise ValueError("`scores` must not hold NaN. Received: NaN.")
    own = np.take_along_axis(scores, truth[:, None], axis=1)  # (samples, 1)
    before = np.arange(scores.shape[1]) < truth[:, None]  # (samples, classes)
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float((rank < k).mean())


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each true class was taken for each class.

    Args:
        truth: Integer class indices (samples,); may be empty.
        predicted: Integer class indices (samples,).
        classes: The number of classes, at least 1.

    Returns:
        int64 (classes, classes): rows are the truth, columns the prediction.

    Raises:
        ValueError: When the lengths differ or an index lies outside 0..classes-1.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1. Received: classes={classes}.")
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise ValueError(
            "`truth` and `predicted` must both have shape (samples,). "
            f"Received: {truth.shape} and {predicted.shape}."
        )
    _check_indices("truth", truth, classes)
    _check_indices("predicted", predicted, classes)
    cells = truth.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(confusion: np.ndarray) -> ClassScores:
    """Return precision, recall and F1 per class, with macro and weighted averages.

    A quotient whose denominator is 0 is 0. The macro average leaves out classes that neither
    occur nor were predicted, so that unused outputs do not lower it; the weighted average
    gives them no weight anyway. With no sample at all every average is 0.

    Args:
        confusion: Non-negative counts (classes, classes), rows truth, columns prediction.

    Raises:
        ValueError: When `confusion` is not a square matrix.
    """
    confusion = _square(confusion)
    support, guesses = confusion.sum(axis=1), confusion.sum(axis=0)  # (classes,) each
    hits = np.diagonal(confusion)
    precision, recall = _ratio(hits, guesses), _ratio(hits, support)
    f1 = _ratio(2 * hits, support + guesses)
    table = np.stack([precision, recall, f1])  # (3, classes)
    seen = (support + guesses) > 0
    macro = table[:, seen].mean(axis=1) if seen.any() else np.zeros(3)
    weighted = table @ _ratio(support, np.full_like(support, support.sum()))
    return ClassScores(
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        macro=Averages(*macro.tolist()),
        weighted=Averages(*weighted.tolist()),
    )


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Return the mean recall over the classes that occur: accuracy if all were equally common.

    Args:
        confusion: Non-negative counts (classes, classes), rows truth, columns prediction.

    Raises:
        ValueError: When `confusion` is not square or holds no sample.
    """
    confusion = _square(confusion)
    support = confusion.sum(axis=1)
    _check_samples(int(support.sum()))
    occurs = support > 0
    return float((np.diagonal(confusion)[occurs] / support[occurs]).mean())


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> Calibration:
    """Return how far confidence and accuracy lie apart, over bins of equal width.

    ECE = sum over bins of (count / samples) * |accuracy - mean confidence|, the bins being
    (0, 1/bins], (1/bins, 2/bins] and so on; a confidence of exactly 0 joins the first.
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599, equation 3.

    Args:
        confidence: The probability of the predicted class (samples,), 0 to 1. Up to 1e-6
            outside, the rounding of a softmax, is clipped.
        correct: Whether that class was right (samples,), bool or 0 and 1.
        bins: At least 1; the paper uses 15.

    Raises:
        ValueError: When shapes differ, there is no sample, or a confidence lies outside 0..1.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1. Received: bins={bins}.")
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(
            "`confidence` and `correct` must both have shape (samples,). "
            f"Received: {confidence.shape} and {correct.shape}."
        )
    _check_samples(len(confidence))
    if not ((confidence >= -1e-6) & (confidence <= 1 + 1e-6)).all():
        raise ValueError(
            "`confidence` must lie between 0 and 1. "
            f"Received: {confidence.min()} to {confidence.max()}."
        )
    confidence = confidence.clip(0, 1)
    edges = np.arange(bins + 1) / bins
    place = np.searchsorted(edges, confidence, side="left").clip(1, bins) - 1  # (low, high]
    table = _reliability_bins(confidence, correct, place, edges)
    gaps = [
        b.count * abs(b.accuracy - b.confidence)
        for b in table
        if b.accuracy is not None and b.confidence is not None
    ]
    return Calibration(error=float(sum(gaps) / len(confidence)), bins=table)


def _reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, place: np.ndarray, edges: np.ndarray
) -> tuple[ReliabilityBin, ...]:
    """Return the bins' table; `place` is each sample's bin, `edges` the (bins + 1,) limits."""
    bins = len(edges) - 1
    counts = np.bincount(place, minlength=bins)
    confidences = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=correct, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(confidences[i] / counts[i]) if counts[i] else None,
            accuracy=float(hits[i] / counts[i]) if counts[i] else None,
        )
        for i in range(bins)
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide element by element; 0 where the denominator is 0."""
    result = np.zeros(numerator.shape, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _square(confusion: np.ndarray) -> np.ndarray:
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(
            f"`confusion` must have shape (classes, classes). Received: shape={confusion.shape}."
        )
    return confusion


def _check_samples(samples: int) -> None:
    if samples == 0:
        raise ValueError("There must be at least one sample. Received: 0 samples.")


def _check_indices(name: str, indices: np.ndarray, classes: int) -> None:
    if not indices.size:
        return
    if indices.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integers. Received: dtype={indices.dtype}.")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"`{name}` must hold class indices from 0 to {classes - 1}. Received: {low} to {high}."
        )
