"""Writes the result of train-face: bundle, card, history, split and report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.writing import NewBundle
from cnnkit.data import SPLITS
from cnnkit.data.split_files import write_split_file
from cnnkit.faces.training.outcome import TrainedEmbedder
from cnnkit.faces.training.settings import EMBEDDED
from cnnkit.runtime.versions import versions
from cnnkit.training.run import REPORT, SPLIT, TrainingRun, epochs_record, write_history

LIBRARIES = ("keras", "tensorflow", "numpy", "scipy", "Pillow")
HISTORY_COLUMNS = (
    *("epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"),
    *("auc", "mean_same", "mean_different", "spread", "best"),
)


def write_trained(run: TrainingRun, outcome: TrainedEmbedder) -> None:
    """Write the bundle, whole or not at all.

    Raises:
        OutputError: The output cannot be written there.
    """
    with run.new_bundle(new_bundle(outcome), outcome.settings.network) as folder:
        write_split_file(folder / SPLIT, outcome.people.dataset, outcome.people.splits)
        write_history(folder, HISTORY_COLUMNS, epochs(outcome))
        from cnnkit.reports.face_training import write_face_training

        title = f"{outcome.settings.output.resolve().name}: what was learned"
        write_face_training(folder / REPORT, report_content(outcome), title=title)


def new_bundle(outcome: TrainedEmbedder) -> NewBundle:
    """Return the network and all that its card says."""
    settings = outcome.settings
    return NewBundle(
        name=settings.output.resolve().name,
        task="embed-face",
        description=f"A similarity learned from {outcome.people.people('train')} people "
        f"({settings.network}, {settings.loss}) with cnnkit train-face.",
        model=outcome.model,
        labels=(),
        input=settings.spec,
        builder=outcome.builder,
        arguments=outcome.arguments if outcome.builder else {},
        outputs={"embedding": {"layer": outcome.model.layers[-1].name}},
        verification={
            "alignment": "five-points" if settings.crop == "face" else "none",
            "metric": outcome.metric,
            **({"detector": settings.detector} if settings.crop == "face" else {}),
            "threshold": outcome.threshold,
            "steepness": outcome.steepness,
        },
        license="CC0-1.0" if settings.network == EMBEDDED else None,
        training=training_record(outcome),
    )


def training_record(outcome: TrainedEmbedder) -> dict[str, Any]:
    """Return how the model was made, for its card: the same for the same data and seed."""
    settings, people = outcome.settings, outcome.people
    return {
        "command": "train-face",
        "arguments": arguments(outcome),
        "seed": settings.seed,
        "versions": versions(LIBRARIES),
        "data": {
            "sha256": people.sha256(),
            "pictures": {name: len(people.split(name)) for name in SPLITS},
            "people": {name: people.people(name) for name in SPLITS},
            "left_out": len(people.failures),
        },
        "head": None
        if outcome.head is None
        else {
            "penalty": outcome.head.penalty,
            "numbers_in_use": int((outcome.head.weights > 0).sum()),
            "validation_loss": outcome.head.loss,
        },
        "plain_distance_loss": outcome.baseline,
        "network": None
        if outcome.learned is None
        else epochs_record(outcome.learned.plan, outcome.learned.result),
        "kept": outcome.kept,
        "metrics": outcome.figures,
    }


def arguments(outcome: TrainedEmbedder) -> dict[str, Any]:
    """Return the settings that shape the model; of paths only the last part."""
    settings = outcome.settings
    plain = ("network", "loss", "crop", "detector", "max_pixels")
    shown = {name: getattr(settings, name) for name in plain}
    shown["split_by"] = outcome.people.split_by(outcome.judged_on)
    shown |= {"data": Path(settings.data).resolve().name, **vars(settings.shares)}
    if settings.trains:
        names = ("margin", "people", "photos", "epochs", "patience", "dimensions", "size")
        shown |= {name: getattr(settings, name) for name in names}
        shown |= {"learning_rate": settings.rate, "augment": Path(settings.augment).name}
    return shown


def epochs(outcome: TrainedEmbedder) -> Iterator[dict[str, Any]]:
    """Yield the epochs, and whether each is the best; none where only a head was found."""
    if outcome.learned is not None:
        best = outcome.learned.result.best_epoch
        for epoch in outcome.learned.epochs:
            yield epoch | {"best": "yes" if epoch["epoch"] == best else "no"}


def report_content(outcome: TrainedEmbedder) -> dict[str, Any]:
    """Return what `cnnkit.reports.face_training` shows, JSON values."""
    from cnnkit.faces.pairs import pair_distances
    from cnnkit.faces.training.training import describe

    images = outcome.people.split(outcome.judged_on)
    vectors = describe(outcome.model, images.pixels)
    pairs = pair_distances(vectors, images.labels, outcome.metric)
    return {
        "split": outcome.judged_on,
        "split_by": outcome.people.split_by(outcome.judged_on),
        "data": outcome.people.dataset.source,
        "figures": outcome.figures,
        "threshold": outcome.threshold,
        "metric": outcome.metric,
        "epochs": outcome.learned.epochs if outcome.learned else [],
        "kept": outcome.kept,
        "distances": _histograms(pairs.same, pairs.different),
        "record": training_record(outcome),
        "left_out": [
            {"path": path, "reason": failure.message} for path, failure in outcome.people.failures
        ],
    }


def _histograms(same: np.ndarray, different: np.ndarray) -> dict[str, list[list[float]]]:
    """Return the share of the pairs by distance, 40 bins from 0."""
    edges = np.linspace(0, max(float(same.max()), float(different.max()), 1e-9), 41)
    centers = (edges[1:] + edges[:-1]) / 2
    found = {}
    for name, values in (("same person", same), ("different people", different)):
        counts, _ = np.histogram(values, edges)
        found[name] = [
            [float(x), float(y)] for x, y in zip(centers, counts / len(values), strict=True)
        ]
    return found
