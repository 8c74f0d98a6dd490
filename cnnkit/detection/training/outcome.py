"""The result of train-detector."""

from __future__ import annotations

from dataclasses import dataclass

from cnnkit.detection.average_precision import BoxFigures, FoundBoxes, TrueBoxes
from cnnkit.detection.training.network import DetectorNetwork
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.formats import AnnotatedImage, BoxProblem, BoxSet
from cnnkit.training import EpochReport, TrainingPlan, TrainingResult


@dataclass(frozen=True)
class DetectorStage:
    """One stage of training.

    Attributes:
        name: ``frozen`` or ``whole``.
        plan: What was done.
        result: Its epochs.
    """

    name: str
    plan: TrainingPlan
    result: TrainingResult


@dataclass(frozen=True)
class TrainedDetector:
    """The result of a training.

    Attributes:
        settings: The settings of the run.
        boxes: The data set.
        network: With the weights of the best epoch.
        training: The images that it learned from.
        validation: Those that it was judged by.
        stages: What was trained, in order.
        figures: On validation.
        truths: True boxes of the validation images.
        found: The detections in them, nearly all that have a score.
        problems: Boxes that were fixed or omitted.
    """

    settings: DetectorSettings
    boxes: BoxSet
    network: DetectorNetwork
    training: tuple[AnnotatedImage, ...]
    validation: tuple[AnnotatedImage, ...]
    stages: tuple[DetectorStage, ...]
    figures: BoxFigures
    truths: tuple[TrueBoxes, ...]
    found: tuple[FoundBoxes, ...]
    problems: tuple[BoxProblem, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in the network's order."""
        return trained_classes(self.boxes)


def trained_classes(boxes: BoxSet) -> tuple[str, ...]:
    """Return the classes of a set that have a box."""
    return tuple(name for name, count in boxes.counts().items() if count)


def epoch_figures(report: EpochReport, best_by: str) -> tuple[float, float]:
    """Return AP50 and AP of an epoch.

    Args:
        report: Its ``val_loss`` is 1 less the figure that decides which epoch is best, its
            ``val_accuracy`` the other one.
        best_by: That figure, ``AP50`` or ``AP``.
    """
    best, other = 1 - report.val_loss, report.val_accuracy
    return (best, other) if best_by == "AP50" else (other, best)
