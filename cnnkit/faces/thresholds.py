"""When two embeddings are of one person: threshold and probability, as the embedder's card says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.bundles import ModelCard
from cnnkit.errors import BundleError, UsageError, broken_rule

LARGEST_THRESHOLD = 1000.0


@dataclass(frozen=True)
class Verification:
    """How a distance becomes a verdict.

    Attributes:
        threshold: Embeddings whose Euclidean distance is at most this are of one person.
        steepness: Of the logistic curve from distance to probability: at the threshold one half.
    """

    threshold: float
    steepness: float

    def __post_init__(self) -> None:
        for name in ("threshold", "steepness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= LARGEST_THRESHOLD):
                rule = f"lie above 0 and be at most {LARGEST_THRESHOLD:g}"
                raise UsageError(broken_rule(f"--{name}", rule, value))

    @classmethod
    def of_card(cls, card: ModelCard) -> Verification:
        """Return what the card of an embedder says.

        Raises:
            BundleError: It says nothing, or no numbers.
        """
        entry: Any = card.content.get("verification")
        try:
            return cls(float(entry["threshold"]), float(entry["steepness"]))
        except (TypeError, ValueError, KeyError, OverflowError, UsageError) as error:
            rule = "have a verification with a threshold and a steepness above 0"
            raise BundleError(broken_rule(card.name, rule, repr(entry)[:100])) from error

    def same(self, distance: float) -> bool:
        """Return whether a distance means one person."""
        return distance <= self.threshold

    def probability(self, distance: float) -> float:
        """Return the probability of one person, if both answers are equally likely beforehand."""
        exponent = self.steepness * (distance - self.threshold)
        return 1.0 / (1.0 + math.exp(min(700.0, max(-700.0, exponent))))


def distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of all pairs, float64 (n, m), of (n, d) and (m, d).

    The differences are taken before they are squared: the quicker form by scalar products loses
    half of the digits for near embeddings.
    """
    some, others = np.asarray(some, np.float64), np.asarray(others, np.float64)
    return np.sqrt(((some[:, None] - others[None]) ** 2).sum(axis=2))
