"""Candidates for objects, and the few functions that every decoder of raw outputs needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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


def one_by_one(
    decoder: Any, outputs: Mapping[str, np.ndarray], least: np.ndarray
) -> list[Candidates]:
    """Return the candidates of each image of a batch, decoded one after the other.

    Args:
        decoder: A `cnnkit.detection.decoders.Decoder`.
        outputs: The raw outputs by name, float32, with the batch.
        least: See `cnnkit.detection.decoders.Decoder.decode`.
    """
    count = min(map(len, outputs.values()), default=0)
    return [
        decoder.decode({name: values[position] for name, values in outputs.items()}, least)
        for position in range(count)
    ]


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
