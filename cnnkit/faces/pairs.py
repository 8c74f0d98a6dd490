"""Pairs of faces: their distances, error rates, intervals, and probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# SciPy takes longer to import than two faces to compare, so what needs it imports it.
PDIST_NAMES = {"euclidean": "euclidean", "manhattan": "cityblock"}
# More photos than this are measured by a random part of them: 4.5 million pairs say enough.
MAX_PHOTOS = 3000


@dataclass(frozen=True)
class PairDistances:
    """How far apart photos are.

    Attributes:
        same: float64 (n,), of two photos of one person.
        different: float64 (m,), of two people's.
        people: How many people have a photo among those that were compared.
    """

    same: np.ndarray
    different: np.ndarray
    people: int


@dataclass(frozen=True)
class Interval:
    """A share with its confidence interval.

    Attributes:
        share: 0 to 1.
        low: Lower end.
        high: Upper end.
    """

    share: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the interval ready for JSON."""
        return {name: round(getattr(self, name), 8) for name in ("share", "low", "high")}


def pair_distances(
    vectors: np.ndarray, labels: np.ndarray, metric: str = "euclidean", seed: int = 0
) -> PairDistances:
    """Return the distances of all pairs of photos.

    Args:
        vectors: float (photos, dimensions).
        labels: The person of each, int (photos,).
        metric: ``euclidean`` or ``manhattan``.
        seed: Chooses the photos where there are more than 3,000.
    """
    vectors, labels = _compared(vectors, labels, seed)
    apart, first, second = all_pairs(vectors, labels, metric)
    return PairDistances(apart[first == second], apart[first != second], len(np.unique(labels)))


def part_compared(photos: int, of: str = "") -> str:
    """Return what to say where not all photos are compared, "" where they are.

    Args:
        photos: How many there are.
        of: Which, such as `` of the split val``.
    """
    if photos <= MAX_PHOTOS:
        return ""
    pairs = MAX_PHOTOS * (MAX_PHOTOS - 1) // 2
    part = f"a random part of {MAX_PHOTOS:,} is compared, {pairs:,} pairs"
    return f"There are {photos:,} photos{of}: {part}."


def _compared(vectors: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the photos whose pairs are looked at, and their people."""
    if len(vectors) <= MAX_PHOTOS:
        return vectors, labels
    chosen = np.random.default_rng(seed).permutation(len(vectors))[:MAX_PHOTOS]
    return vectors[chosen], labels[chosen]


def all_pairs(
    vectors: np.ndarray, labels: np.ndarray, metric: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distance of each pair and the people of its two photos; see `pair_distances`.

    Returns:
        float64 (pairs,) and twice int (pairs,).
    """
    vectors, labels = _compared(vectors, labels, seed)
    first, second = np.triu_indices(len(labels), 1)
    if not len(first):
        return np.zeros(0), labels[first], labels[second]
    from scipy.spatial.distance import pdist

    apart = pdist(np.asarray(vectors, np.float64), PDIST_NAMES[metric])
    return apart, labels[first], labels[second]


def area_under_curve(pairs: PairDistances) -> float:
    """Return the chance that a same pair is nearer than a different one; equal ones count half.

    That is the area under the ROC curve of verification, 0 to 1.
    """
    ordered = np.sort(pairs.same)
    below = np.searchsorted(ordered, pairs.different, "left")
    not_above = np.searchsorted(ordered, pairs.different, "right")
    return float((below + not_above).mean() / 2 / len(ordered))


def rates_at(pairs: PairDistances, threshold: float) -> tuple[float, float]:
    """Return the true and the false accept rate: the shares at most `threshold` apart."""
    return float((pairs.same <= threshold).mean()), float((pairs.different <= threshold).mean())


def equal_error_rate(pairs: PairDistances) -> tuple[float, float]:
    """Return the rate where false accepts and false rejects are nearest, and its threshold."""
    thresholds = np.unique(np.concatenate([pairs.same, pairs.different]))
    accepted = np.searchsorted(np.sort(pairs.different), thresholds, "right") / len(pairs.different)
    rejected = 1 - np.searchsorted(np.sort(pairs.same), thresholds, "right") / len(pairs.same)
    best = int(np.argmin(abs(accepted - rejected)))
    return float((accepted[best] + rejected[best]) / 2), float(thresholds[best])


def threshold_at(pairs: PairDistances, far: float) -> float:
    """Return the largest threshold whose false accept rate on these pairs is at most `far`.

    It lies just below the first different pair too many, and never above the last that counts:
    a threshold is a distance that was not reached by more than ``far`` of the different pairs.
    """
    ordered = np.sort(pairs.different)
    allowed = math.floor(far * len(ordered) + 1e-9)
    if allowed >= len(ordered):
        return float(ordered[-1])
    return float(np.nextafter(ordered[allowed], -np.inf))


def proportion_interval(hits: int, count: int, confidence: float = 0.95) -> Interval:
    """Return a share with its exact confidence interval (Clopper and Pearson 1934).

    Args:
        hits: How many of them.
        count: Total number, at least 1.
        confidence: That the interval holds the true share, if all were independent.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, count - hits + 1))
    high = 1.0 if hits == count else float(beta.ppf(1 - tail, hits + 1, count - hits))
    return Interval(hits / count, low, high)


def fit_probability(pairs: PairDistances) -> tuple[float, float]:
    """Return the distance of probability 0.5 and the steepness of the logistic curve there.

    Platt's method (1999): the likeliest curve for targets a little off 0 and 1, by which it
    stays finite where all same pairs are nearer than all different ones. Both kinds of pairs
    count a half: the probability is that of a pair for which both answers are as likely.

    Returns:
        midpoint and steepness of ``1 / (1 + exp(steepness * (distance - midpoint)))``, over 0.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    distances = np.concatenate([pairs.same, pairs.different])
    scale = max(float(distances.std()), 1e-9)
    center = (float(pairs.same.mean()) + float(pairs.different.mean())) / 2
    n, m = len(pairs.same), len(pairs.different)
    targets = np.repeat([(n + 1) / (n + 2), 1 / (m + 2)], [n, m])
    weights = np.repeat([0.5 / n, 0.5 / m], [n, m])
    standard = (distances - center) / scale

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the weighted cross-entropy and its gradient by log steepness and midpoint."""
        steepness, midpoint = math.exp(parameters[0]), parameters[1]
        logits = -steepness * (standard - midpoint)
        values = np.logaddexp(0.0, logits) - targets * logits
        slope = weights * (expit(logits) - targets)  # of the loss by the logits
        by_steepness = float((slope * logits).sum())
        return float((weights * values).sum()), np.array([by_steepness, slope.sum() * steepness])

    bounds = [(-4.0, 5.0), (-10.0, 10.0)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return center + scale * float(found.x[1]), math.exp(float(found.x[0])) / scale


def pair_log_loss(pairs: PairDistances, midpoint: float, steepness: float) -> float:
    """Return the mean cross-entropy of the probabilities in nats, both kinds counting a half."""
    of_same = np.logaddexp(0.0, steepness * (pairs.same - midpoint)).mean()
    of_two = np.logaddexp(0.0, -steepness * (pairs.different - midpoint)).mean()
    return float((of_same + of_two) / 2)


def spread(vectors: np.ndarray) -> float:
    """Return how far vectors lie from their mean, relative to their length; 0: they are one.

    Args:
        vectors: float (n, dimensions).

    Returns:
        The root of the mean squared distance from the mean over the root of the mean square.
    """
    vectors = np.asarray(vectors, np.float64)
    length = float(np.sqrt((vectors**2).sum(axis=1).mean()))
    if not math.isfinite(length) or length == 0.0:
        return 0.0
    away = vectors - vectors.mean(axis=0)
    return float(np.sqrt((away**2).sum(axis=1).mean()) / length)


def summary(pairs: PairDistances, threshold: float) -> dict[str, Any]:
    """Return what pairs say of an embedder and a threshold, ready for JSON.

    ``accuracy`` counts both kinds of pairs alike; ``tar_at`` is the true accept rate at false
    accept rates that the pairs are many enough for.
    """
    accepted, wrong = rates_at(pairs, threshold)
    error, at = equal_error_rate(pairs)
    rates = [far for far in (0.1, 0.01, 0.001, 0.0001) if far * len(pairs.different) >= 3]
    return {
        "people": pairs.people,
        "same_pairs": len(pairs.same),
        "different_pairs": len(pairs.different),
        "auc": area_under_curve(pairs),
        "equal_error_rate": error,
        "equal_error_threshold": at,
        "threshold": threshold,
        "true_accept_rate": accepted,
        "false_accept_rate": wrong,
        "accuracy": (accepted + 1 - wrong) / 2,
        "tar_at": {f"{far:g}": rates_at(pairs, threshold_at(pairs, far))[0] for far in rates},
        "mean_same": float(pairs.same.mean()),
        "mean_different": float(pairs.different.mean()),
    }
