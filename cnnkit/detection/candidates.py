"""Candidates for objects, and the few functions that every decoder of raw outputs needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Candidates(NamedTuple):
    """Possible objects of one image, before non-max suppression, in any order.

    Attributes:
        boxes: Left, top, right, bottom in pixels of the network's input, float (n, 4).
        scores: Float (n,), 0 to 1.
        classes: Counted from 0, int (n,). One box may stand under several classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def strongest(candidates: Candidates, limit: int) -> Candidates:
    """Return at most so many candidates, those of the highest scores, in their order."""
    if len(candidates.scores) <= limit:
        return candidates
    best = np.sort(np.argpartition(-candidates.scores, limit - 1)[:limit])
    return Candidates(*(values[best] for values in candidates))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return ``1 / (1 + exp(-logits))``, of the same dtype, without overflow."""
    return 0.5 * np.tanh(0.5 * logits) + 0.5


def logit(score: float) -> float:
    """Return the logit of a score: the inverse of `sigmoid`, infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(score) - np.log1p(-score))
