"""How well an embedder tells people apart on labeled pairs, also by LFW's protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.pairs import PairDistances, proportion_interval, rates_at, summary
from cnnkit.faces.verifying import FaceVerifier
from cnnkit.formats.face_pairs import FacePair, distinct_pairs, is_of_itself
from cnnkit.names import counted
from cnnkit.results import Failure, path_fields

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
MAX_MISTAKES = 100
MAX_ERRORS = 1000
ROC_POINTS = 200


def evaluate_pairs(
    verifier: FaceVerifier,
    pairs: Sequence[FacePair],
    *,
    data: str,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Measure an embedder and its threshold.

    A pair that is listed again, in either order, counts once: a second copy says nothing new, but
    would weigh twice in each rate and narrow the confidence interval. One of an image with itself
    does not count: its distance is 0 whatever the embedder is.

    Args:
        verifier: Loaded.
        pairs: Each with ``same``.
        data: Where they come from, for the result.
        workers: Threads that read and embed.
        progress: Called for each pair.

    Returns:
        The figures as JSON-ready values; the schema stands in docs/output.md.

    Raises:
        UsageError: A pair does not say whether it is of one person, or one of both kinds of
            pairs is missing among those that could be compared.
    """
    if any(pair.same is None for pair in pairs):
        fix = "Give a CSV with the columns a, b and same, or LFW's pairs.txt."
        raise UsageError(broken_rule("`data`", "say of every pair whether it is same", data, fix))
    once = distinct_pairs(pairs)
    repeated = len(pairs) - len(once)
    if repeated:
        told = "%s lists %s again, perhaps the other way round; each pair counts once"
        log.warning(told, data, f"{repeated:,} pairs" if repeated > 1 else "a pair")
    distinct = [pair for pair in once if not is_of_itself(pair)]
    if len(distinct) < len(once):
        told = "%s has %s of an image with itself, which say nothing and do not count"
        log.warning(told, data, counted(len(once) - len(distinct), "pair"))
    advance = progress or (lambda: None)
    for _ in range(len(pairs) - len(distinct)):
        advance()
    compared: list[tuple[FacePair, float]] = []
    errors: list[dict[str, str]] = []
    for pair, outcome in verifier.stream(distinct, workers):
        if isinstance(outcome, Failure):
            errors.append({**_paths(pair), **outcome.to_dict()})
        else:
            compared.append((pair, outcome.distance))
        advance()
    embedder = verifier.embedder
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "embed-face",
        "model": {"name": embedder.bundle.card.name, "sha256": embedder.bundle.identity},
        "runtime": {"embedder": embedder.identity, "faces": verifier.choice.faces},
        "data": {
            **path_fields(data),
            "pairs": len(distinct),
            "repeated": repeated,
            "errors": len(errors),
        },
        **figures_of(compared, verifier.verification.threshold, data),
        "errors": errors[:MAX_ERRORS],
    }


def figures_of(
    compared: Sequence[tuple[FacePair, float]], threshold: float, data: str
) -> dict[str, Any]:
    """Return the figures of compared pairs: metrics, ROC curve, folds, surest mistakes."""
    same = np.array([bool(pair.same) for pair, _ in compared], bool)
    apart = np.array([distance for _, distance in compared], np.float64)
    if not (same.any() and (~same).any()):
        rule = "hold readable pairs of one person and of two"
        raise UsageError(broken_rule("`data`", rule, f"{same.sum()} and {(~same).sum()} in {data}"))
    found = PairDistances(apart[same], apart[~same], people=0)
    metrics = {k: v for k, v in summary(found, threshold).items() if k != "people"}
    metrics["balanced_accuracy"] = metrics.pop("accuracy")
    right = (apart <= threshold) == same
    interval = proportion_interval(int(right.sum()), len(right)).to_dict()
    folds = [pair.fold for pair, _ in compared]
    figures = {
        "metrics": {"accuracy": float(right.mean()), "accuracy_interval": interval, **metrics},
        "roc": roc_points(found),
        "mistakes": surest_mistakes(compared, threshold),
    }
    if None not in folds and len(set(folds)) > 1:
        figures["folds"] = cross_validated(apart, same, np.array(folds))
    return figures


def roc_points(pairs: PairDistances) -> list[dict[str, float]]:
    """Return the ROC curve at up to 200 thresholds, from the strictest on."""
    thresholds = np.unique(np.concatenate([pairs.same, pairs.different]))
    places = np.linspace(0, len(thresholds) - 1, min(ROC_POINTS, len(thresholds)))
    points = []
    for threshold in thresholds[places.round().astype(int)]:
        accepted, wrong = rates_at(pairs, float(threshold))
        points.append(
            {
                "threshold": round(float(threshold), 6),
                "true_accept_rate": accepted,
                "false_accept_rate": wrong,
            }
        )
    return points


def best_threshold(apart: np.ndarray, same: np.ndarray) -> float:
    """Return the distance that parts pairs with the fewest mistakes.

    It lies half-way between two neighboring distances; of equally good places in the middle.

    Args:
        apart: Distances, float (pairs,).
        same: Whether each pair is of one person, bool (pairs,).
    """
    order = np.argsort(apart, kind="stable")
    ordered, is_same = apart[order], same[order]
    # Right answers if the first k pairs are accepted, k from 0 on.
    right = np.concatenate([[0], np.cumsum(is_same)]) + np.concatenate(
        [np.cumsum(~is_same[::-1])[::-1], [0]]
    )
    edges = np.concatenate([[ordered[0]], ordered, [ordered[-1]]])
    between = (edges[:-1] + edges[1:]) / 2
    possible = np.concatenate([[True], np.diff(ordered) > 0, [True]])
    right = np.where(possible, right, -1)
    best = np.flatnonzero(right == right.max())
    place = int(best[len(best) // 2])
    return float(np.nextafter(between[0], -np.inf)) if place == 0 else float(between[place])


def cross_validated(apart: np.ndarray, same: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    """Return LFW's figure: each fold is judged by the threshold that is best on the others.

    Huang et al., "Labeled Faces in the Wild", 2007, View 2: mean accuracy, and the standard
    deviation over the folds by the square root of their number.
    """
    parts = []
    for fold in np.unique(folds):
        own = folds == fold
        threshold = best_threshold(apart[~own], same[~own])
        right = (apart[own] <= threshold) == same[own]
        parts.append({"threshold": threshold, "accuracy": float(right.mean())})
    accuracies = np.array([part["accuracy"] for part in parts])
    deviation = float(accuracies.std(ddof=1))
    return {
        "accuracy": float(accuracies.mean()),
        "standard_deviation": deviation,
        "standard_error": deviation / len(accuracies) ** 0.5,
        "folds": parts,
    }


def surest_mistakes(
    compared: Sequence[tuple[FacePair, float]], threshold: float
) -> list[dict[str, Any]]:
    """Return the pairs whose verdict is wrong, those farthest from the threshold first."""
    wrong = [(p, d) for p, d in compared if (d <= threshold) != p.same]
    wrong.sort(key=lambda one: -abs(one[1] - threshold))
    return [
        {**_paths(pair), "expected": pair.same, "distance": round(distance, 6)}
        for pair, distance in wrong[:MAX_MISTAKES]
    ]


def _paths(pair: FacePair) -> dict[str, str]:
    return path_fields(pair.a, "a") | path_fields(pair.b, "b")
