"""The triplet losses in plain numpy, triplet by triplet, as the papers write them."""

from __future__ import annotations

import math

import numpy as np


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(np.float64) - y.astype(np.float64)))


def members(labels: np.ndarray, anchor: int) -> tuple[list[int], list[int]]:
    """Return the positives and the negatives of an anchor."""
    others = [i for i in range(len(labels)) if i != anchor]
    same = [i for i in others if labels[i] == labels[anchor]]
    return same, [i for i in others if labels[i] != labels[anchor]]


def semi_hard(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> float:
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = members(labels, anchor)
        squares = [distance(embeddings[anchor], e) ** 2 for e in embeddings]
        for positive in positives if negatives else []:
            beyond = [squares[n] for n in negatives if squares[n] > squares[positive]]
            negative = min(beyond) if beyond else max(squares[n] for n in negatives)
            losses.append(max(squares[positive] - negative + margin, 0.0))
    return float(np.mean(losses)) if losses else 0.0


def batch_hard(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> float:
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = members(labels, anchor)
        if positives and negatives:
            apart = [distance(embeddings[anchor], e) for e in embeddings]
            gap = max(apart[p] for p in positives) - min(apart[n] for n in negatives)
            losses.append(max(gap + margin, 0.0) if margin > 0 else math.log1p(math.exp(gap)))
    return float(np.mean(losses)) if losses else 0.0


def batch_all(labels: np.ndarray, embeddings: np.ndarray, margin: float) -> float:
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = members(labels, anchor)
        apart = [distance(embeddings[anchor], e) for e in embeddings]
        losses += [apart[p] - apart[n] + margin for p in positives for n in negatives]
    active = [loss for loss in losses if loss > 0]
    return float(np.mean(active)) if active else 0.0


def pair_logistic(labels: np.ndarray, embeddings: np.ndarray, midpoint: float) -> float:
    losses: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(labels)):
        for j in range(len(labels)):
            if i != j:
                logit = midpoint - float(np.abs(embeddings[i] - embeddings[j]).sum())
                same = bool(labels[i] == labels[j])
                losses[same].append(math.log1p(math.exp(-logit if same else logit)))
    return sum(float(np.mean(v)) if v else 0.0 for v in losses.values()) / 2


PLAIN = {"semi-hard": semi_hard, "batch-hard": batch_hard, "batch-all": batch_all}
