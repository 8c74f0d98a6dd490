"""A threshold from the user's own photos: for a false-accept rate, with what is not known of it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.gallery.records import MAX_DISTANCE, GallerySettings
from cnnkit.faces.pairs import (
    MAX_PHOTOS,
    Interval,
    all_pairs,
    fit_probability,
    pair_distances,
    part_compared,
    proportion_interval,
    threshold_at,
)
from cnnkit.names import counted

log = logging.getLogger(__name__)

# Hits that a rate needs for its interval to say anything: with none in 3 / rate pairs the rate
# is below that with 95 % ("rule of three").
RULE_OF_THREE = 3.0
RESAMPLES = 200
# Fewer people drawn from say nothing of how others would come out.
LEAST_PEOPLE = 3


@dataclass(frozen=True)
class Calibrated:
    """A threshold and what it rests on.

    Attributes:
        far: The false-accept rate that was requested.
        threshold: The largest distance that keeps to it on these pairs.
        threshold_low: Lower end of the 95 % interval of the threshold, by drawing other people
            out of the same (a bootstrap over people, not over pairs).
        threshold_high: Its upper end.
        false_accepts: False accept rate at the threshold, with a confidence interval that treats
            pairs as independent.
        true_accepts: True accept rate at the threshold, with its confidence interval.
        midpoint: The distance of probability 0.5.
        steepness: Slope of the probability at the threshold.
        people: With photos.
        photos: How many were compared: a random part of more than 3,000.
        same_pairs: Number of pairs of the same person.
        different_pairs: Number of pairs of different people.
        enough: Whether the pairs can show the rate at all.
    """

    far: float
    threshold: float
    threshold_low: float
    threshold_high: float
    false_accepts: Interval
    true_accepts: Interval
    midpoint: float
    steepness: float
    people: int
    photos: int
    same_pairs: int
    different_pairs: int
    enough: bool

    @property
    def lowest_rate(self) -> float:
        """The lowest false-accept rate that so many pairs can show."""
        return min(1.0, RULE_OF_THREE / self.different_pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration ready for JSON."""
        values = {k: v for k, v in vars(self).items() if not isinstance(v, Interval)}
        return values | {
            "false_accepts": self.false_accepts.to_dict(),
            "true_accepts": self.true_accepts.to_dict(),
            "lowest_rate": self.lowest_rate,
        }


def calibrate(vectors: np.ndarray, labels: np.ndarray, metric: str, far: float) -> Calibrated:
    """Find the threshold.

    Args:
        vectors: float32 (photos, dimensions).
        labels: The person of each, int (photos,).
        metric: ``euclidean`` or ``manhattan``.
        far: The false-accept rate to keep to, over 0 and under 1.

    Raises:
        UsageError: The rate breaks its rule, there are no pairs of both kinds, or so many photos
            of different people are exactly alike that no threshold keeps to the rate.
    """
    if not (math.isfinite(far) and 0 < far < 1):
        raise UsageError(broken_rule("`far`", "be over 0 and under 1", far))
    if told := part_compared(len(vectors)):
        log.warning(told)
    pairs = pair_distances(vectors, labels, metric)
    if not len(pairs.same) or not len(pairs.different):
        rule = "hold two people, one of them with two photos"
        compared = min(len(vectors), MAX_PHOTOS)
        received = f"{counted(pairs.people, 'person')} and {counted(compared, 'photo')}"
        raise UsageError(broken_rule("`data`", rule, received))
    threshold = threshold_at(pairs, far)
    if threshold < 0:
        rule, received = (
            "hold different photos of different people",
            "photos that are exactly alike",
        )
        raise UsageError(broken_rule("`data`", rule, received))
    low, high = _threshold_interval(vectors, labels, metric, far)
    midpoint, steepness = fit_probability(pairs)
    accepted, wrong = (
        proportion_interval(int((d <= threshold).sum()), len(d))
        for d in (pairs.same, pairs.different)
    )
    return Calibrated(
        far,
        threshold,
        max(0.0, min(low, threshold)),
        max(high, threshold) if math.isfinite(high) else MAX_DISTANCE,
        wrong,
        accepted,
        midpoint,
        steepness,
        pairs.people,
        min(len(vectors), MAX_PHOTOS),
        len(pairs.same),
        len(pairs.different),
        far * len(pairs.different) >= RULE_OF_THREE - 1e-9,
    )


def _threshold_interval(
    vectors: np.ndarray, labels: np.ndarray, metric: str, far: float
) -> tuple[float, float]:
    """Return the 95 % interval of the threshold over people drawn with replacement.

    A person who is drawn c times counts c times in the pairs with others; two copies of one
    person are no pair of two people. Photos of one person are alike, so that the pairs say less
    than their number seems to: the people are what chance has drawn.
    """
    people, numbers = np.unique(labels, return_inverse=True)
    if len(people) < LEAST_PEOPLE:
        return -np.inf, np.inf
    apart, first, second = all_pairs(vectors, numbers, metric)
    different = first != second
    order = np.argsort(apart[different], kind="stable")
    apart, first, second = (v[different][order] for v in (apart, first, second))
    generator = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = generator.multinomial(len(people), np.full(len(people), 1 / len(people)))
        reached = np.cumsum(drawn[first] * drawn[second])
        if reached[-1]:
            place = int(np.searchsorted(reached, far * reached[-1] + 1e-9, side="right"))
            found.append(apart[min(place, len(apart) - 1)])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def adopted(settings: GallerySettings, found: Calibrated) -> GallerySettings:
    """Return a gallery's settings with a calibration in place of its own."""
    return replace(
        settings,
        threshold=found.threshold,
        midpoint=found.midpoint,
        slope=found.steepness,
        calibration=found.to_dict(),
    )
