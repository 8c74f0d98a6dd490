"""Writes what a training came to: the bundle with its model, card, history, split and report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnkit.bundles.writing import NewBundle
from cnnkit.data.labelled_csv import protected_cell
from cnnkit.detection.average_precision import best_threshold
from cnnkit.detection.training.outcome import TrainedDetector
from cnnkit.runtime.versions import versions
from cnnkit.training.run import REPORT, SPLIT, TrainingRun, epochs_record, write_history
from cnnkit.writers.row_files import csv_line

COLUMNS = ("stage", "epoch", "learning_rate", "loss", "AP50", "AP", "best")
LIBRARIES = (
    "keras",
    "tensorflow",
    "albumentations",
    "pycocotools",
    "numpy",
    "opencv-python-headless",
)
# A threshold from fewer true boxes would be a matter of luck; and no threshold leaves these
# bounds, whatever a small validation says.
LEAST_BOXES = 5
LOWEST, HIGHEST = 0.05, 0.9
USUAL = 0.25


def write_trained(run: TrainingRun, learnt: TrainedDetector) -> None:
    """Write the bundle, whole or not at all.

    Raises:
        OutputError: It cannot be written there.
    """
    with run.new_bundle(new_bundle(learnt), learnt.network.origin) as folder:
        write_history(folder, COLUMNS, epochs(learnt))
        (folder / SPLIT).write_text("".join(_split(learnt)), "utf-8", "surrogateescape")
        _write_report(folder / REPORT, learnt)


def new_bundle(learnt: TrainedDetector) -> NewBundle:
    """Return the model, of one size, and all that its card says."""
    settings, network = learnt.settings, learnt.network
    how = f"from {network.origin}" if network.origin else "from random weights"
    return NewBundle(
        name=settings.output.resolve().name,
        task="detect",
        description=(
            f"{settings.architecture} for {len(learnt.classes)} classes, trained {how} "
            "with cnnkit train-detector."
        ),
        model=network.fixed(settings.architecture),
        labels=learnt.classes,
        input=network.spec,
        builder=settings.architecture,
        arguments=network.arguments,
        outputs=network.outputs,
        detector={
            **network.detector,
            "confidence": USUAL,
            "iou": 0.45,
            "thresholds": thresholds(learnt),
        },
        license=network.license,
        training=training_record(learnt),
    )


def thresholds(learnt: TrainedDetector) -> dict[str, float]:
    """Return the confidence of each class with the highest F1 on validation."""
    chosen = {}
    for label, matches in zip(learnt.classes, learnt.figures.matches, strict=True):
        if matches.truths >= LEAST_BOXES and matches.hits.any():
            chosen[label] = round(min(max(best_threshold(matches)[0], LOWEST), HIGHEST), 4)
    return chosen


def training_record(learnt: TrainedDetector) -> dict[str, Any]:
    """Return how the model was made, for its card: the same for the same data and seed."""
    settings = learnt.settings
    names = ("architecture", "from_scratch", "side", "box_loss", "batch_size", "augment")
    names += ("mosaic", "multi_scale", "average", "patience")
    advice = learnt.network.advice
    return {
        "command": "train-detector",
        "arguments": {"data": Path(settings.data).name}
        | {name: getattr(settings, name) for name in names},
        "seed": settings.seed,
        "versions": versions(LIBRARIES),
        "backbone": {"name": learnt.network.origin},
        "data": {
            "pictures": {"train": len(learnt.training), "val": len(learnt.validation)},
            "boxes": {
                "train": sum(len(p.boxes) for p in learnt.training),
                "val": sum(len(p.boxes) for p in learnt.validation),
            },
            "problems": len(learnt.problems),
        },
        "anchors": None if advice is None else advice.to_dict(),
        "stages": [
            {"name": stage.name, **epochs_record(stage.plan, stage.result)}
            for stage in learnt.stages
        ],
        "metrics": {"val": _rounded(learnt.figures.to_dict())},
    }


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {k: None if v is None else round(v, 4) for k, v in figures.items()}


def epochs(learnt: TrainedDetector) -> Iterator[dict[str, Any]]:
    """Yield every epoch of every stage, the state before training as epoch 0."""
    for stage in learnt.stages:
        for report in stage.result.history:
            yield {
                "stage": stage.name,
                "epoch": report.epoch,
                "learning_rate": report.learning_rate,
                "loss": report.loss,
                "AP50": 1 - report.val_loss,
                "AP": report.val_accuracy,
                "seconds": report.seconds,
                "best": "yes" if report.epoch == stage.result.best_epoch else "no",
            }


def _split(learnt: TrainedDetector) -> Iterator[str]:
    yield csv_line(["file", "split", "boxes"])
    for split, pictures in (("train", learnt.training), ("val", learnt.validation)):
        for picture in pictures:
            yield csv_line([protected_cell(picture.file), split, str(len(picture.boxes))])


def _write_report(path: Path, learnt: TrainedDetector) -> None:
    from cnnkit.reports.detection import write_detection_report

    write_detection_report(path, **report_content(learnt))


def report_content(learnt: TrainedDetector) -> dict[str, Any]:
    """Return what the report shows."""
    from cnnkit.detection.mistakes import evaluation_figures

    return {
        "title": f"{learnt.settings.output.resolve().name}: what was learnt",
        "evaluation": evaluation_figures(
            learnt.validation, learnt.truths, learnt.found, learnt.figures, learnt.classes
        ),
        "epochs": list(epochs(learnt)),
        "record": training_record(learnt),
    }
