"""The result of transfer learning, and how its scores are calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit import metrics
from cnnkit.calibration import Threshold, fit_temperature, threshold_for_precision
from cnnkit.classification.training.choosing import TriedBackbone
from cnnkit.classification.training.head import HeadSearch
from cnnkit.classification.training.network import Network
from cnnkit.classification.training.network_training import NetworkTraining
from cnnkit.classification.training.preparation import TrainingSet
from cnnkit.classification.training.settings import ClassifierSettings


@dataclass(frozen=True)
class ScoreCalibration:
    """How scores become probabilities and decisions.

    Attributes:
        temperature: Temperature of the softmax.
        error_before: The expected calibration error on validation at temperature 1.
        error_after: The same at the fitted temperature.
        reliability_before: The bins of `error_before`, JSON values.
        threshold: Where `unknown` begins, or None.
        asked_precision: What the threshold was to reach, or None.
    """

    temperature: float
    error_before: float
    error_after: float
    reliability_before: list[dict[str, Any]]
    threshold: Threshold | None
    asked_precision: float | None


@dataclass(frozen=True)
class TrainedClassifier:
    """The result of a run.

    Attributes:
        settings: The settings of the run.
        training_set: What was learned from.
        network: What is left, and where it comes from.
        search: The head and how it was found; None from scratch.
        learned: The training of the whole network, or None.
        kept: A sentence that says which stage's weights the network has, or "".
        weights: Weights of the classes, float (classes,), or None for equal ones.
        calibration: Fitted on validation.
        evaluations: Split to its figures, `cnnkit.classification.training.figures.evaluation`.
        runtime: The runtime and the precision that gave the features.
        cached: How many features came from the disk.
        seconds: Duration of each stage in seconds, by name.
        tried: The backbones that this one was chosen of; none: the user named it.
    """

    settings: ClassifierSettings
    training_set: TrainingSet
    network: Network
    search: HeadSearch | None
    learned: NetworkTraining | None
    kept: str
    weights: np.ndarray | None
    calibration: ScoreCalibration
    evaluations: dict[str, dict[str, Any]]
    runtime: tuple[str, str]
    cached: int
    seconds: dict[str, float]
    tried: tuple[TriedBackbone, ...] = ()

    @property
    def judged_on(self) -> str:
        """The split that counts: test, where there is one, which nothing was chosen by."""
        return "test" if "test" in self.evaluations else "val"


def calibrate(logits: np.ndarray, truth: np.ndarray, precision: float | None) -> ScoreCalibration:
    """Fit the temperature and the threshold on validation.

    Args:
        logits: float (images, classes).
        truth: Integer class indices (images,).
        precision: What the threshold is to reach, or None for no threshold.
    """
    temperature = fit_temperature(logits, truth)
    correct = logits.argmax(axis=1) == truth
    before, after = (
        metrics.softmax(np.asarray(logits, np.float64), t).max(axis=1) for t in (1.0, temperature)
    )
    uncalibrated = metrics.expected_calibration_error(before, correct)
    threshold = None
    if precision is not None:
        threshold = threshold_for_precision(after, correct, precision)
    return ScoreCalibration(
        temperature,
        uncalibrated.error,
        metrics.expected_calibration_error(after, correct).error,
        [part.to_dict() for part in uncalibrated.bins],
        threshold,
        precision,
    )
