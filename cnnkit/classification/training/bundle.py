"""Writes the result of a run: the bundle with its model, card, history, split and report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import ModelCard
from cnnkit.bundles.measuring_ranges import Result, TrainingImages, ValidationImages
from cnnkit.bundles.writing import NewBundle
from cnnkit.classification.training.outcome import TrainedClassifier
from cnnkit.classification.training.settings import AUTO
from cnnkit.data import SPLITS
from cnnkit.data.split_files import write_split_file
from cnnkit.errors import ImageError
from cnnkit.images import thumbnail
from cnnkit.results import path_fields
from cnnkit.runtime.versions import versions
from cnnkit.training.run import REPORT, SPLIT, TrainingRun, epochs_record, write_history

LIBRARIES = ("keras", "tensorflow", "openvino", "numpy", "scipy", "Pillow")


def write_trained(run: TrainingRun, outcome: TrainedClassifier) -> None:
    """Write the bundle, whole or not at all.

    Raises:
        OutputError: The output cannot be written there.
    """
    training_set = outcome.training_set
    with run.new_bundle(new_bundle(outcome), outcome.network.origin) as folder:
        hashes = [content.tobytes().hex() for content in training_set.contents]
        write_split_file(folder / SPLIT, training_set.dataset, training_set.splits, hashes)
        write_history(folder, COLUMNS, history(outcome))
        _write_report(folder / REPORT, outcome)


def new_bundle(outcome: TrainedClassifier) -> NewBundle:
    """Return the model, built, and all that its card says."""
    network, labels = outcome.network, outcome.training_set.labels
    files = outcome.training_set.dataset.files
    how = "trained from scratch" if outcome.search is None else "learned on"
    return NewBundle(
        name=outcome.settings.output.resolve().name,
        task="classify",
        description=f"{len(labels)} classes, {how} {network.origin} with cnnkit transfer-learn.",
        model=network.build(),
        labels=labels,
        input=network.spec,
        builder=network.builder,
        arguments=network.arguments,
        outputs={"scores": {"layer": "logits", "kind": "logits"}, "features": network.features},
        calibration=_calibration(outcome),
        license=network.license,
        training=training_record(outcome),
        images=TrainingImages(
            [files[place].path for place in outcome.training_set.members("train")],
            outcome.settings.seed,
            outcome.settings.max_pixels,
            bits=True,
            validation=_validation(outcome),
        ),
        backbone=network.backbone,
    )


def _validation(outcome: TrainedClassifier) -> ValidationImages:
    """Return the validation images, judged by the share whose highest score is the truth's."""
    training_set = outcome.training_set
    files = [training_set.dataset.files[place] for place in training_set.members("val")]

    def judge(card: ModelCard, results: Iterator[Result]) -> dict[str, float]:
        right = [outputs["scores"].argmax() == files[place].label for place, _, outputs in results]
        return {"top-1": float(np.mean(right))} if right else {}

    return ValidationImages([file.path for file in files], judge)


def _calibration(outcome: TrainedClassifier) -> dict[str, Any]:
    threshold = outcome.calibration.threshold
    return {
        "temperature": outcome.calibration.temperature,
        "threshold": None if threshold is None else threshold.value,
    }


def training_record(outcome: TrainedClassifier) -> dict[str, Any]:
    """Return how the model was made, for its card: the same for the same data and seed."""
    training_set, calibration = outcome.training_set, outcome.calibration
    threshold = calibration.threshold
    counts = {
        split: len(training_set.members(split))
        for split in SPLITS
        if len(training_set.members(split))
    }
    weights = outcome.weights
    return {
        "command": "transfer-learn",
        "arguments": arguments(outcome),
        "seed": outcome.settings.seed,
        "versions": versions(LIBRARIES),
        "backbone": _backbone_record(outcome),
        "runtime": dict(zip(("runtime", "precision"), outcome.runtime, strict=True)),
        "data": {
            "sha256": training_set.sha256(),
            "pictures": counts,
            "left_out": len(training_set.failures),
        },
        "head": None if outcome.search is None else outcome.search.chosen.to_dict(),
        "network": _network_record(outcome),
        "class_weights": None if weights is None else np.round(weights, 6).tolist(),
        "metrics": {split: found["metrics"] for split, found in outcome.evaluations.items()},
        "calibration": {
            "error_before": calibration.error_before,
            "error_after": calibration.error_after,
            "unknown_precision": calibration.asked_precision,
            "threshold": None if threshold is None else threshold.to_dict(),
        },
    }


def _backbone_record(outcome: TrainedClassifier) -> dict[str, Any]:
    record = {"name": outcome.network.origin, "sha256": outcome.network.sha256}
    if not outcome.tried:
        return record
    return record | {"tried": [trial.to_dict() for trial in outcome.tried]}


def arguments(outcome: TrainedClassifier) -> dict[str, Any]:
    """Return the settings that shape the model; of paths only the last part."""
    settings = outcome.settings
    augmented = settings.views or settings.trains_network
    return {
        "data": Path(settings.data).resolve().name,
        "backbone": None if settings.from_scratch else _backbone_asked(outcome),
        "fit": outcome.network.spec.fit,
        "validation": settings.validation,
        "test": settings.test,
        "split_file": settings.split_file and Path(settings.split_file).name,
        "copies": settings.copies,
        "views": settings.views,
        "augment": Path(settings.augment).name if augmented else None,
        "mix": settings.mix if settings.trains_network else None,
        "fine_tune": settings.fine_tune or None,
        "from_scratch": settings.from_scratch,
        "size": settings.size,
        "class_weights": settings.class_weights,
        "unknown_precision": settings.unknown_precision,
        "max_pixels": settings.max_pixels,
    }


def _backbone_asked(outcome: TrainedClassifier) -> str:
    return AUTO if outcome.tried else outcome.network.origin


def _network_record(outcome: TrainedClassifier) -> dict[str, Any] | None:
    """Return how the whole network was trained, or None if only a head was."""
    if outcome.learned is None:
        return None
    return epochs_record(outcome.learned.plan, outcome.learned.result) | {"kept": outcome.kept}


COLUMNS = (
    *("stage", "epoch", "root_features", "regularization", "label_smoothing", "iterations"),
    "learning_rate",
    *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "best"),
)


def history(outcome: TrainedClassifier) -> Iterator[dict[str, Any]]:
    """Yield the trials of the head search, then the epochs of the training."""
    yield from _head_rows(outcome)
    yield from _epoch_rows(outcome)


def _head_rows(outcome: TrainedClassifier) -> Iterator[dict[str, Any]]:
    if outcome.search is not None:
        for trial in outcome.search.trials:
            best = "yes" if trial is outcome.search.chosen else "no"
            yield {"stage": "head", **trial.to_dict(), "best": best}


def _epoch_rows(outcome: TrainedClassifier) -> Iterator[dict[str, Any]]:
    if outcome.learned is not None:
        for report in outcome.learned.result.history:
            yield {
                "stage": "network",
                "epoch": report.epoch,
                "learning_rate": report.learning_rate,
                "train_loss": report.loss,
                "train_accuracy": report.accuracy,
                "validation_loss": report.val_loss,
                "validation_accuracy": report.val_accuracy,
                "best": "yes" if report.epoch == outcome.learned.result.best_epoch else "no",
            }


def _write_report(path: Path, outcome: TrainedClassifier) -> None:
    from cnnkit.reports.training import write_training_report

    title = f"{outcome.settings.output.resolve().name}: what was learned"
    write_training_report(path, report_content(outcome), title=title, thumbnail=_thumbnail)


def _thumbnail(path: str) -> bytes | None:
    try:
        return thumbnail(path)
    except ImageError:
        return None


def report_content(outcome: TrainedClassifier) -> dict[str, Any]:
    """Return what `cnnkit.reports.training` shows, JSON values."""
    training_set = outcome.training_set
    split = outcome.judged_on
    members = training_set.members(split)
    failures = [
        {**path_fields(path), **failure.to_dict()} for path, failure in training_set.failures
    ]
    return {
        "evaluation": {
            "schema_version": 1,
            "task": "classify",
            "model": {"name": outcome.settings.output.resolve().name, "sha256": None},
            "data": {
                "path": training_set.dataset.source,
                "pictures": len(members),
                "errors": len(failures),
            },
            **outcome.evaluations[split],
            "errors": failures,
        },
        "split": split,
        "classes": _class_counts(outcome),
        "findings": [
            {"severity": f.severity, "message": f.message, "fix": f.fix, "code": f.code}
            for f in training_set.findings
        ],
        **_curves(outcome),
        "kept": outcome.kept,
        "reliability_before": outcome.calibration.reliability_before,
        "reliability_after": outcome.evaluations["val"]["reliability"],
        "record": training_record(outcome),
        "calibration": _calibration(outcome),
    }


def _curves(outcome: TrainedClassifier) -> dict[str, Any]:
    search, learned = outcome.search, outcome.learned
    return {
        "trials": [] if search is None else [trial.to_dict() for trial in search.trials],
        "chosen": None if search is None else search.chosen.to_dict(),
        "epochs": [] if learned is None else [r.to_dict() for r in learned.result.history],
        "rates": [] if learned is None else [list(pair) for pair in learned.rates],
    }


def _class_counts(outcome: TrainedClassifier) -> list[dict[str, Any]]:
    training_set = outcome.training_set
    labels = training_set.dataset.labels
    table = {
        split: np.bincount(labels[training_set.members(split)], minlength=len(training_set.labels))
        for split in SPLITS
    }
    return [
        {"label": label, **{split: int(counts[i]) for split, counts in table.items()}}
        for i, label in enumerate(training_set.labels)
    ]
