"""The head: features to logits, trained by multinomial logistic regression.

The loss is convex, so the result depends on the data alone: no learning rate, no seed, no
epochs. A small grid of regularization and label smoothing is tried on the validation split, on the
features and, where the network can take them, on their square roots. These help with a few images
of each of many kinds of things (benchmarks/few_shot.py); where the classes are easily told apart
they make no difference, so they are taken only if they are better by more than the noise of the
validation images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from cnnkit import metrics
from cnnkit.architectures.feature_roots import ROOT_OFFSET
from cnnkit.calibration import fit_temperature, log_loss
from cnnkit.runtime.linear_algebra import one_linear_algebra_thread

# From strong to weak, of features whose squared length is 1 on average. On photos of cats and
# dogs the best was 1e-5 to 1e-4; the ends only bound it.
REGULARIZATION = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
# With ten images per class smoothing lifted the accuracy on ten classes of photos from 0.64 to
# 0.74; with hundreds a class it makes no difference.
LABEL_SMOOTHING = (0.0, 0.1)
MAX_ITERATIONS = 300
# The path to weaker regularization ends once the validation loss has risen so many times.
PATIENCE = 2

LEAST = 1e-12  # probability whose logarithm is taken
MAX_CLASS_WEIGHT = 10.0
IMBALANCE = 3.0


@dataclass(frozen=True)
class DenseHead:
    """A dense layer.

    Attributes:
        kernel: float32 (features, classes).
        bias: float32 (classes,).
        root_features: Whether it stands on the square roots of the features.
    """

    kernel: np.ndarray
    bias: np.ndarray
    root_features: bool = False

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits, float32 (samples, classes), of features (samples, features)."""
        features = roots(features) if self.root_features else np.asarray(features, np.float32)
        return features @ self.kernel + self.bias


@dataclass(frozen=True)
class Trial:
    """One point of the search.

    Attributes:
        root_features: Whether the head stands on the square roots of the features.
        regularization: The factor of the kernel's squared length.
        label_smoothing: The share of the truth that is spread over all classes, 0 to 1.
        iterations: Number of iterations of the optimizer.
        train_loss: Log loss on the training split, in nats.
        validation_loss: Log loss on the validation split at its own best temperature.
        validation_accuracy: 0 to 1.
        validation_macro_f1: 0 to 1.
    """

    root_features: bool
    regularization: float
    label_smoothing: float
    iterations: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_macro_f1: float

    def to_dict(self) -> dict[str, Any]:
        """Return the trial ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class HeadSearch:
    """The result of the search.

    Attributes:
        head: The best one.
        chosen: Its trial.
        trials: All trials, in the order in which they were made.
    """

    head: DenseHead
    chosen: Trial
    trials: tuple[Trial, ...]


def roots(features: np.ndarray) -> np.ndarray:
    """Return the square roots of features as the network takes them, see `feature_roots`.

    Args:
        features: Float (samples, features), at least 0.

    Returns:
        float32 (samples, features).
    """
    return np.sqrt(np.asarray(features, np.float32) + np.float32(ROOT_OFFSET))


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray | None:
    """Return weights that make up for rare classes, or None if they are not needed.

    Args:
        labels: The class of each training sample, int (samples,).
        classes: Number of classes.

    Returns:
        float64 (classes,): proportional to 1 / count, at most `MAX_CLASS_WEIGHT` times the
        smallest, the samples' mean being 1; None up to an imbalance of `IMBALANCE` to 1.
    """
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    present = counts > 0
    if counts.max() <= IMBALANCE * counts[present].min():
        return None
    weights = np.ones(classes)
    weights[present] = np.minimum(counts.max() / counts[present], MAX_CLASS_WEIGHT)
    return weights * counts.sum() / (weights * counts).sum()


def search_head(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    classes: int,
    *,
    weights: np.ndarray | None = None,
    root_features: bool = False,
    tried: Callable[[Trial], None] | None = None,
) -> HeadSearch:
    """Train heads over a small grid and keep the one with the least validation loss.

    A head on square roots is kept only if it is better than the best of the others by
    `best_place`.

    Args:
        train: Features float32 (samples, features) and labels int (samples,).
        validation: The same of images that are not trained on.
        classes: At least 2.
        weights: Weights of the classes, float (classes,), or None for equal ones.
        root_features: Whether the square roots of the features are tried, too.
        tried: Called after each trial.
    """
    with one_linear_algebra_thread():
        problem = _Problem(*train, classes, weights)
        found = [_searched(problem, train, validation, tried)]
        if root_features:
            problem = _Problem(roots(train[0]), train[1], classes, weights, root_features=True)
            found.append(_searched(problem, train, validation, tried))
    losses = [image_losses(one.head.logits(validation[0]), validation[1]) for one in found]
    best = found[best_place(losses)]
    return HeadSearch(best.head, best.chosen, tuple(t for one in found for t in one.trials))


def image_losses(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the log loss of each image at the best temperature, in nats.

    Args:
        logits: float (images, classes).
        truth: Integer class indices (images,).
    """
    probabilities = metrics.softmax(logits.astype(np.float64), fit_temperature(logits, truth))
    return -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], LEAST))


def best_place(losses: Sequence[np.ndarray]) -> int:
    """Return the place of the best: each is compared with the best of those before it.

    Better is a mean that is lower by more than one standard error of the difference: with a few
    validation images the lowest is often so by chance.

    Args:
        losses: The loss of each validation image, float (images,), of each candidate.
    """
    best = 0
    for place, loss in enumerate(losses):
        lower = losses[best] - loss
        spread = float(lower.std(ddof=1)) if len(lower) > 1 else math.inf
        if lower.mean() > spread / math.sqrt(len(lower)):
            best = place
    return best


def _searched(
    problem: _Problem,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    tried: Callable[[Trial], None] | None,
) -> HeadSearch:
    best: list[tuple[DenseHead, Trial]] = []
    trials: list[Trial] = []

    def attempt(regularization: float, smoothing: float) -> Trial:
        """Fit one head, and keep it if it is the best so far."""
        head, iterations = problem.solve(regularization, smoothing)
        trial = _judged(head, regularization, smoothing, iterations, train, validation)
        trials.append(trial)
        if tried is not None:
            tried(trial)
        if not best or trial.validation_loss < best[0][1].validation_loss:
            best[:] = [(head, trial)]
        return trial

    for smoothing in LABEL_SMOOTHING:
        problem.restart()
        lowest, risen = np.inf, 0
        for regularization in REGULARIZATION:
            loss = attempt(regularization, smoothing).validation_loss
            risen = risen + 1 if loss >= lowest else 0
            lowest = min(loss, lowest)
            if risen >= PATIENCE:
                break
    return HeadSearch(*best[0], tuple(trials))


def _judged(
    head: DenseHead,
    regularization: float,
    smoothing: float,
    iterations: int,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
) -> Trial:
    """Return how well a head does."""
    logits, truth = head.logits(validation[0]), validation[1]
    classes = len(head.bias)
    confusion = metrics.confusion_matrix(truth, logits.argmax(axis=1), classes)
    return Trial(
        head.root_features,
        regularization,
        smoothing,
        iterations,
        log_loss(head.logits(train[0]), train[1]),
        log_loss(logits, truth, fit_temperature(logits, truth)),
        float(np.trace(confusion) / len(truth)),
        metrics.precision_recall_f1(confusion).macro.f1,
    )


class _Problem:
    """The loss over the training split.

    Features are centerd and divided by one common scale, so that their squared length is 1 on
    average and the regularization means the same for every backbone. One scale for each
    feature did worse: it lifts features that are nearly always 0 to the rank of the others.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        weights: np.ndarray | None,
        *,
        root_features: bool = False,
    ) -> None:
        self._root_features = root_features  # what the features are already
        features = np.asarray(features, np.float32)
        self._mean = features.mean(axis=0, dtype=np.float64)
        variance = features.var(axis=0, dtype=np.float64).sum()
        self._scale = float(np.sqrt(variance)) or 1.0
        self._features = ((features - self._mean) / self._scale).astype(np.float32)
        self._truth = np.eye(classes)[labels]
        sample_weights = np.ones(len(labels)) if weights is None else weights[labels]
        self._weights = (sample_weights / sample_weights.sum())[:, None]  # (samples, 1)
        self._shape = (features.shape[1] + 1, classes)  # the kernel, then the bias
        self.restart()

    def restart(self) -> None:
        """Forget the last solution, from which the next one would start."""
        self._start = np.zeros(self._shape)

    def solve(self, regularization: float, smoothing: float) -> tuple[DenseHead, int]:
        """Return the best head and the iterations it took, starting from the last one."""
        classes = self._truth.shape[1]
        target = self._truth * (1 - smoothing) + smoothing / classes
        done = minimize(
            self._loss,
            self._start.ravel(),
            args=(target, regularization),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_ITERATIONS, "maxcor": 10, "ftol": 1e-8, "gtol": 1e-6},
        )
        self._start = solution = done.x.reshape(self._shape)
        # Fold the centering and the scale in, so that the head takes features as they are.
        kernel = solution[:-1] / self._scale
        bias = solution[-1] - self._mean @ kernel
        folded = kernel.astype(np.float32), bias.astype(np.float32)
        return DenseHead(*folded, root_features=self._root_features), int(done.nit)

    def _loss(
        self, flat: np.ndarray, target: np.ndarray, regularization: float
    ) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient; the bias is not regularized."""
        both = flat.reshape(self._shape)
        kernel = both[:-1]
        logits = (self._features @ kernel.astype(np.float32)).astype(np.float64) + both[-1]
        log_sum = logsumexp(logits, axis=1, keepdims=True)
        loss = -(self._weights * target * (logits - log_sum)).sum()
        loss += 0.5 * regularization * (kernel**2).sum()
        error = self._weights * (np.exp(logits - log_sum) - target)  # (samples, classes)
        gradient = np.empty_like(both)
        gradient[:-1] = self._features.T @ error.astype(np.float32) + regularization * kernel
        gradient[-1] = error.sum(axis=0)
        return float(loss), gradient.ravel()
