"""Writes the result of a training: the bundle with its model, card, history, split and report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import ModelCard
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.bundles.measuring_ranges import Result, TrainingImages, ValidationImages
from cnnkit.bundles.writing import NewBundle
from cnnkit.detection.average_precision import best_threshold, box_figures
from cnnkit.detection.decoders import make_decoder
from cnnkit.detection.measuring import found_boxes, true_boxes
from cnnkit.detection.training.outcome import TrainedDetector, epoch_figures
from cnnkit.runtime.versions import versions
from cnnkit.training.run import REPORT, SPLIT, TrainingRun, epochs_record, write_history
from cnnkit.writers.row_files import csv_line, protected_cell

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


def write_trained(run: TrainingRun, learned: TrainedDetector) -> None:
    """Write the bundle, whole or not at all.

    Raises:
        OutputError: The output cannot be written there.
    """
    with run.new_bundle(new_bundle(learned), learned.network.origin) as folder:
        write_history(folder, COLUMNS, epochs(learned))
        (folder / SPLIT).write_text("".join(_split(learned)), "utf-8", "surrogateescape")
        _write_report(folder / REPORT, learned)


def new_bundle(learned: TrainedDetector) -> NewBundle:
    """Return the model, of one size, and all that its card says."""
    settings, network = learned.settings, learned.network
    how = f"from {network.origin}" if network.origin else "from random weights"
    return NewBundle(
        name=settings.output.resolve().name,
        task="detect",
        description=(
            f"{settings.architecture} for {len(learned.classes)} classes, trained {how} "
            "with cnnkit train-detector."
        ),
        model=network.fixed(settings.architecture),
        labels=learned.classes,
        input=network.spec,
        builder=settings.architecture,
        arguments=network.arguments,
        outputs=network.outputs,
        detector={
            **network.detector,
            "confidence": USUAL,
            "iou": 0.45,
            "thresholds": thresholds(learned),
        },
        license=network.license,
        training=training_record(learned),
        images=TrainingImages(
            [image.path for image in learned.training if image.path is not None],
            settings.seed,
            settings.max_pixels,
            last_in_int8=False,
            validation=_validation(learned),
        ),
    )


def _validation(learned: TrainedDetector) -> ValidationImages:
    """Return the validation images, judged by average precision."""
    images = [image for image in learned.validation if image.path is not None]

    def judge(card: ModelCard, results: Iterator[Result]) -> dict[str, float]:
        """Return the average precision of a network's outputs, as the card decodes them."""
        decoder, every = make_decoder(detector_spec(card), card), np.zeros(card.classes)
        truths, found = [], []
        for place, size, outputs in results:
            one = decoder.decode(outputs, every)
            boxes = one.boxes.reshape(-1, card.classes, 4)[:, 0]
            scores = one.scores.reshape(-1, card.classes)
            found.append(found_boxes(boxes, scores, size, card.input))
            truths.append(true_boxes(images[place], learned.classes, size))
        figures = box_figures(truths, found, card.classes)
        return {"AP": figures.average_precision(), "AP50": figures.average_precision(0.5)}

    return ValidationImages([str(image.path) for image in images], judge)


def thresholds(learned: TrainedDetector) -> dict[str, float]:
    """Return the confidence of each class with the highest F1 on validation."""
    chosen = {}
    for label, matches in zip(learned.classes, learned.figures.matches, strict=True):
        if matches.truths >= LEAST_BOXES and matches.hits.any():
            chosen[label] = round(min(max(best_threshold(matches)[0], LOWEST), HIGHEST), 4)
    return chosen


def training_record(learned: TrainedDetector) -> dict[str, Any]:
    """Return how the model was made, for its card: the same for the same data and seed."""
    settings = learned.settings
    names = (
        *("architecture", "from_scratch", "side", "box_loss", "batch_size", "augment"),
        *("mosaic", "average", "patience"),
    )
    advice = learned.network.advice
    return {
        "command": "train-detector",
        "arguments": {"data": Path(settings.data).name}
        | {name: getattr(settings, name) for name in names}
        | {"multi_scale": bool(settings.sizes)},
        "seed": settings.seed,
        "versions": versions(LIBRARIES),
        "backbone": {"name": learned.network.origin},
        "data": {
            "pictures": {"train": len(learned.training), "val": len(learned.validation)},
            "boxes": {
                "train": sum(len(p.boxes) for p in learned.training),
                "val": sum(len(p.boxes) for p in learned.validation),
            },
            "problems": len(learned.problems),
        },
        "anchors": None if advice is None else advice.to_dict(),
        "stages": [
            {"name": stage.name, **epochs_record(stage.plan, stage.result)}
            for stage in learned.stages
        ],
        "metrics": {"val": _rounded(learned.figures.to_dict())},
    }


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {k: None if v is None else round(v, 4) for k, v in figures.items()}


def epochs(learned: TrainedDetector) -> Iterator[dict[str, Any]]:
    """Yield every epoch of every stage, the state before training as epoch 0."""
    for stage in learned.stages:
        for report in stage.result.history:
            half, whole = epoch_figures(report, learned.settings.kind.best_by)
            yield {
                "stage": stage.name,
                "epoch": report.epoch,
                "learning_rate": report.learning_rate,
                "loss": report.loss,
                "AP50": half,
                "AP": whole,
                "seconds": report.seconds,
                "best": "yes" if report.epoch == stage.result.best_epoch else "no",
            }


def _split(learned: TrainedDetector) -> Iterator[str]:
    yield csv_line(["file", "split", "boxes"])
    for split, images in (("train", learned.training), ("val", learned.validation)):
        for image in images:
            yield csv_line([protected_cell(image.file), split, str(len(image.boxes))])


def _write_report(path: Path, learned: TrainedDetector) -> None:
    from cnnkit.reports.detection import write_detection_report

    write_detection_report(path, **report_content(learned))


def report_content(learned: TrainedDetector) -> dict[str, Any]:
    """Return what the report shows."""
    from cnnkit.detection.mistakes import evaluation_figures

    return {
        "title": f"{learned.settings.output.resolve().name}: what was learned",
        "evaluation": evaluation_figures(
            learned.validation, learned.truths, learned.found, learned.figures, learned.classes
        ),
        "epochs": list(epochs(learned)),
        "record": training_record(learned),
    }
