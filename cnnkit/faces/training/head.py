"""The logistic unit on |f(a) - f(b)|: which numbers of a description tell people apart.

The probability that two photos are of one person is ``sigmoid(bias - sum_k w_k |a_k - b_k|)``.
No weight is under 0: a larger difference never makes two faces more alike, and the sum is a
distance, the Manhattan distance of the descriptions multiplied by their weights. So the unit
becomes a scale behind the network, and galleries, thresholds and probabilities work with it as
with any other distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

# Pairs of each kind to learn from; more change the weights by less than chance does.
MAX_PAIRS = 20_000
PENALTIES = (1.0, 0.1, 0.01, 0.001)


@dataclass(frozen=True)
class PairHead:
    """A logistic unit.

    Attributes:
        weights: float64 (dimensions,), 0 or more.
        bias: The distance at which the probability is 0.5.
        penalty: What half the sum of the squared weights cost in training.
        loss: Mean cross-entropy on the validation pairs in nats, both kinds counting a half.
    """

    weights: np.ndarray
    bias: float
    penalty: float
    loss: float

    @property
    def tells(self) -> bool:
        """Whether it tells people apart at all: its distance is no 0 that all pairs have."""
        return self.bias > 0 and bool(self.weights.any())


@dataclass(frozen=True)
class Differences:
    """|f(a) - f(b)| of some pairs.

    Attributes:
        same: float64 (n, dimensions), of two photos of one person.
        different: float64 (m, dimensions), of two people's.
    """

    same: np.ndarray
    different: np.ndarray


def differences(vectors: np.ndarray, labels: np.ndarray, seed: int) -> Differences:
    """Return the differences of all pairs, or of as many at random as are of use.

    Args:
        vectors: float (photos, dimensions).
        labels: The person of each, int (photos,).
        seed: Random seed for the sampling.
    """
    order = np.argsort(labels, kind="stable")
    vectors, labels = np.asarray(vectors, np.float64)[order], np.asarray(labels)[order]
    places = np.arange(len(labels))
    ends = np.searchsorted(labels, labels, "right")  # behind the photos of each one's person
    generator = np.random.default_rng(seed)
    parts = []
    for starts, stops in ((places + 1, ends), (ends, np.full_like(ends, len(labels)))):
        first, second = _pairs(starts, stops, generator)
        parts.append(np.abs(vectors[first] - vectors[second]))
    return Differences(*parts)


def _pairs(
    starts: np.ndarray, stops: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of two photos each, int64 (pairs,): all pairs, or `MAX_PAIRS` at random.

    Pairs are numbered, not listed: of 30,000 photos there are 450 million.

    Args:
        starts: The first place that each place makes a pair with, int (photos,).
        stops: The place behind the last one, int (photos,).
        generator: The source of chance.
    """
    last = np.cumsum(stops - starts)
    total = int(last[-1]) if len(last) else 0
    several = total > MAX_PAIRS
    numbers = generator.choice(total, MAX_PAIRS, replace=False) if several else np.arange(total)
    first = np.searchsorted(last, numbers, "right")
    return first, stops[first] - (last[first] - numbers)


def find_head(training: Differences, validation: Differences) -> PairHead:
    """Return the unit whose penalty does best on validation.

    Args:
        training: What the weights are learned from.
        validation: What the penalty is chosen by, of other people or photos.
    """
    scale = max(1e-12, float(training.different.mean()))
    heads = []
    start = np.concatenate([np.full(training.same.shape[1], 0.1), [0.0]])
    for penalty in PENALTIES:
        start = _fitted(training, penalty, scale, start)
        weights, bias = start[:-1] / scale, float(start[-1])
        loss = head_loss(validation, weights, bias)
        heads.append(PairHead(weights, bias, penalty, loss))
    return min(heads, key=lambda head: head.loss)


def head_loss(pairs: Differences, weights: np.ndarray, bias: float) -> float:
    """Return the mean cross-entropy in nats, both kinds of pairs counting a half."""
    of_same = np.logaddexp(0.0, pairs.same @ weights - bias).mean()
    of_two = np.logaddexp(0.0, bias - pairs.different @ weights).mean()
    return float((of_same + of_two) / 2)


def _fitted(pairs: Differences, penalty: float, scale: float, start: np.ndarray) -> np.ndarray:
    """Return weights and bias of the least loss; it is convex, so there is one."""
    inputs = np.concatenate([pairs.same, pairs.different]) / scale  # (pairs, dimensions)
    counts = [len(pairs.same), len(pairs.different)]
    targets = np.repeat([1.0, 0.0], counts)
    shares = np.repeat([0.5 / max(1, n) for n in counts], counts)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the penalised cross-entropy and its gradient by weights and bias."""
        weights, bias = parameters[:-1], parameters[-1]
        logits = bias - inputs @ weights
        value = shares @ (np.logaddexp(0.0, logits) - targets * logits)
        slope = shares * (expit(logits) - targets)
        gradient = np.concatenate([penalty * weights - inputs.T @ slope, [slope.sum()]])
        return float(value + penalty * weights @ weights / 2), gradient

    bounds = [(0.0, None)] * (len(start) - 1) + [(None, None)]
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
