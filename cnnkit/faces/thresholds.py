"""When two embeddings are of one person: threshold and probability, as the embedder's card says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnkit.bundles import ModelCard
from cnnkit.errors import BundleError, CnnkitError, UsageError, broken_rule

LARGEST_THRESHOLD = 1000.0
METRICS = ("euclidean", "manhattan")
# How a face becomes the embedder's input: aligned by five landmarks, or the whole image.
ALIGNMENTS = ("five-points", "none")


@dataclass(frozen=True)
class Verification:
    """How a distance becomes a verdict.

    Attributes:
        threshold: Embeddings whose distance is at most this are of one person.
        steepness: Slope of the logistic curve that maps distance to probability, which is 0.5 at
            the threshold.
        metric: The distance, one of `METRICS`.
        alignment: One of `ALIGNMENTS`.
        midpoint: The distance of probability one half; None: the threshold.
    """

    threshold: float
    steepness: float
    metric: str = "euclidean"
    alignment: str = "five-points"
    midpoint: float | None = None

    def __post_init__(self) -> None:
        for name in ("threshold", "steepness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= LARGEST_THRESHOLD):
                rule = f"lie above 0 and be at most {LARGEST_THRESHOLD:g}"
                raise UsageError(broken_rule(f"`{name}`", rule, value))
        for name, known in (("metric", METRICS), ("alignment", ALIGNMENTS)):
            if getattr(self, name) not in known:
                rule = f"be one of {', '.join(known)}"
                raise UsageError(broken_rule(name, rule, repr(getattr(self, name))[:60]))

    @classmethod
    def of_card(cls, card: ModelCard) -> Verification:
        """Return what the card of an embedder says.

        Raises:
            BundleError: It says nothing, or no numbers.
        """
        entry: Any = card.content.get("verification")
        try:
            if not isinstance(entry, dict):
                raise TypeError("no object")
            numbers = float(entry["threshold"]), float(entry["steepness"])
            metric = entry.get("metric", "euclidean")
            return cls(*numbers, metric, entry.get("alignment", "five-points"))
        except (LookupError, TypeError, ValueError, ArithmeticError, CnnkitError) as error:
            rule = "have a verification with a threshold and a steepness above 0"
            raise BundleError(broken_rule(card.name, rule, repr(entry)[:100])) from error

    def deciding(self, threshold: float | None) -> Verification:
        """Return it with another threshold, if one is given; the probabilities stay."""
        if threshold is None:
            return self
        return replace(self, threshold=threshold, midpoint=self.midpoint or self.threshold)

    def same(self, distance: float) -> bool:
        """Return whether a distance means one person."""
        return distance <= self.threshold

    def probability(self, distance: float) -> float:
        """Return the probability of one person, if both answers are equally likely in advance."""
        exponent = self.steepness * (distance - (self.midpoint or self.threshold))
        return 1.0 / (1.0 + math.exp(min(700.0, max(-700.0, exponent))))

    def distances(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the distances of all pairs; see `distances`."""
        return distances(some, others, self.metric)


def distances(some: np.ndarray, others: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    """Return the distances of all pairs, float64 (n, m), of (n, d) and (m, d).

    The differences are taken before they are squared: the quicker form by scalar products loses
    half of the digits for near embeddings.
    """
    some, others = np.asarray(some, np.float64), np.asarray(others, np.float64)
    differences = some[:, None] - others[None]  # (n, m, d)
    if metric == "manhattan":
        return np.abs(differences).sum(axis=2)
    return np.sqrt((differences**2).sum(axis=2))
