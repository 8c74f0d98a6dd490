"""`cnnkit transfer-learn` as a function: labeled images in, a model bundle out."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.calibration import fit_temperature, log_loss
from cnnkit.classification.training.backbone import Backbone, open_backbone
from cnnkit.classification.training.bundle import write_trained
from cnnkit.classification.training.choosing import choose_backbone
from cnnkit.classification.training.extraction import Extracted, extract_all
from cnnkit.classification.training.figures import evaluation
from cnnkit.classification.training.head import DenseHead, HeadSearch, class_weights, search_head
from cnnkit.classification.training.network import Network, backbone_network, fresh_network
from cnnkit.classification.training.network_training import (
    NetworkTraining,
    scope_of,
    train_network,
    training_strategy,
)
from cnnkit.classification.training.outcome import ScoreCalibration, TrainedClassifier, calibrate
from cnnkit.classification.training.preparation import TrainingSet, read_training_set
from cnnkit.classification.training.settings import AUTO, ClassifierSettings
from cnnkit.data import SPLITS, Shares
from cnnkit.errors import OutputError, broken_rule
from cnnkit.results import UNKNOWN
from cnnkit.runtime.process import backend_name
from cnnkit.training.run import StageProgress, TrainingRun, silent

log = logging.getLogger(__name__)


def train_classifier(
    settings: ClassifierSettings, stage: StageProgress = silent
) -> TrainedClassifier:
    """Train a classifier and write its complete bundle.

    Args:
        settings: The settings.
        stage: Callback that reports progress.

    Raises:
        UsageError: The data or an option cannot be worked with.
        BundleError: The backbone cannot be opened, or is unsafe to open.
        OutputError: The bundle cannot be written there.
    """
    run = TrainingRun(
        settings.output,
        resume=settings.resume,
        overwrite=settings.overwrite,
        keeps_state=settings.trains_network,
    )
    _check_outside(settings)
    with run.claimed():
        return _transferred(run, settings, stage)


def _transferred(
    run: TrainingRun, settings: ClassifierSettings, stage: StageProgress
) -> TrainedClassifier:
    clock = _StageClock()
    named, chooses = None, settings.backbone == AUTO and not settings.from_scratch
    if not settings.from_scratch and not chooses:
        named = open_backbone(settings.backbone, settings.weights, settings.fit)
    with clock("reading"):
        training_set = _read(settings, stage)
    if UNKNOWN in training_set.labels and settings.unknown_precision is not None:
        log.warning(
            "the class %r is named like what is below the threshold: rename it, or train without "
            "one (`unknown_precision`).",
            UNKNOWN,
        )
    if chooses:
        with clock("choice"):
            chosen, tried = choose_backbone(settings, training_set, stage)
        trained = _on_backbone(settings, chosen, training_set, stage, clock)
        trained = replace(trained, tried=tried)
    elif named is None:
        trained = _from_scratch(settings, training_set, clock)
    else:
        trained = _on_backbone(settings, named, training_set, stage, clock)
    if run.leads:
        with clock("bundle"):
            write_trained(run, trained)
    return trained


def _on_backbone(
    settings: ClassifierSettings,
    backbone: Backbone,
    training_set: TrainingSet,
    stage: StageProgress,
    clock: _StageClock,
) -> TrainedClassifier:
    """Search a head over frozen features; then perhaps train the whole network."""
    with clock("features"):
        training_set, extracted = extract_all(settings, backbone, training_set, stage)
    if settings.engine is not None:
        settings.engine.close()  # what follows needs this machine's processors and memory
        if settings.fine_tune:
            log.info("The cluster computes the features only: fine-tuning runs on this machine.")
    with clock("head"):
        weights = weights_of(settings, training_set)
        search = _search(backbone, training_set, extracted, weights)
    logits = search.head.logits(extracted.values)
    network, learned, kept = backbone_network(backbone, search.head), None, ""
    if settings.fine_tune:
        with clock("network"):
            network, learned, logits, kept = _fine_tuned(
                settings, backbone, training_set, search, logits, weights
            )
    calibration, evaluations = judge(settings, training_set, logits)
    return TrainedClassifier(
        settings,
        training_set,
        network,
        search,
        learned,
        kept,
        weights,
        calibration,
        evaluations,
        extracted.runtime,
        extracted.cached,
        clock.seconds,
    )


def _fine_tuned(
    settings: ClassifierSettings,
    backbone: Backbone,
    training_set: TrainingSet,
    search: HeadSearch,
    logits: np.ndarray,
    weights: np.ndarray | None,
) -> tuple[Network, NetworkTraining, np.ndarray, str]:
    """Train the whole network from the head's solution; keep whichever is better."""
    validation = training_set.members("val")
    truth = training_set.dataset.labels[validation]
    temperature = fit_temperature(logits[validation], truth)
    # The temperature goes into the head, so that training starts from calibrated scores.
    kernel, bias = search.head.kernel / temperature, search.head.bias / temperature
    head = DenseHead(kernel, bias, search.head.root_features)
    start = backbone_network(backbone, head)
    strategy = training_strategy(settings, training_set)
    learned = train_network(settings, start, training_set, weights, strategy)
    before, after = (
        log_loss(x[validation], truth, fit_temperature(x[validation], truth))
        for x in (logits, learned.logits)
    )
    if after < before and learned.result.best_epoch > 0:
        kept = (
            f"Fine-tuning lowered the calibrated validation loss from {before:.4f} to {after:.4f}: "
            f"the weights of epoch {learned.result.best_epoch} are kept."
        )
        network, logits = learned.network, learned.logits
    else:
        figures = f" ({before:.4f} before, {after:.4f} after)" if learned.result.best_epoch else ""
        kept = (
            f"No epoch of fine-tuning lowered the calibrated validation loss{figures}: "
            "the frozen backbone with its head is kept."
        )
        network = backbone_network(backbone, search.head)
    log.info(kept)
    return network, learned, logits, kept


def _from_scratch(
    settings: ClassifierSettings, training_set: TrainingSet, clock: _StageClock
) -> TrainedClassifier:
    strategy = training_strategy(settings, training_set)
    with scope_of(strategy):
        network = fresh_network(
            settings.from_scratch or "",
            len(training_set.labels),
            side=settings.size,
            fit=settings.fit,
            seed=settings.seed,
        )
    weights = weights_of(settings, training_set)
    with clock("network"):
        learned = train_network(settings, network, training_set, weights, strategy)
    calibration, evaluations = judge(settings, training_set, learned.logits)
    return TrainedClassifier(
        settings,
        training_set,
        learned.network,
        None,
        learned,
        "",
        weights,
        calibration,
        evaluations,
        (backend_name(), "float32"),
        0,
        clock.seconds,
    )


def _check_outside(settings: ClassifierSettings) -> None:
    """Refuse an output that lies in the data, or holds it.

    Raises:
        OutputError: Which of them.
    """
    data, output = Path(settings.data).resolve(), settings.output.resolve()
    if data.is_dir() and output.is_relative_to(data):
        fix = "Inside, the next run would treat it as a class."
        raise OutputError(broken_rule("`output`", "lie outside `data`", f"{settings.output}", fix))
    if data.is_relative_to(output):
        rule = "not contain `data`"
        raise OutputError(broken_rule("`output`", rule, settings.output))


class _StageClock:
    """Measures stages: a context manager for each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._started = 0.0

    def __call__(self, name: str) -> _StageClock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self.seconds[self._name] = time.monotonic() - self._started


def _read(settings: ClassifierSettings, stage: StageProgress) -> TrainingSet:
    with contextlib.ExitStack() as stack:
        return read_training_set(
            settings.data,
            root=settings.root,
            split_file=settings.split_file,
            shares=Shares(settings.validation, settings.test),
            seed=settings.seed,
            copies=settings.copies,
            max_bad=settings.max_bad,
            max_pixels=settings.max_pixels,
            workers=settings.workers,
            progress=lambda count: stack.enter_context(stage("examine", count)),
        )


def weights_of(settings: ClassifierSettings, training_set: TrainingSet) -> np.ndarray | None:
    """Return the weights of the classes, and say so where there are any."""
    labels = training_set.dataset.labels[training_set.members("train")]
    weights = class_weights(labels, len(training_set.labels))
    if weights is None:
        return None
    counts = np.bincount(labels, minlength=len(training_set.labels))
    most, least = int(counts.argmax()), int(counts.argmin())
    said = f"{counts[most] / counts[least]:.1f} to 1"
    if not settings.class_weights:
        log.warning("The classes are unequal, %s, and `class_weights='none'` was given.", said)
        return None
    log.info(
        "The classes are unequal, %s: mistakes in %s count %.1f times those in %s.",
        said,
        training_set.labels[least],
        weights[least] / weights[most],
        training_set.labels[most],
    )
    return weights


def _search(
    backbone: Backbone,
    training_set: TrainingSet,
    extracted: Extracted,
    weights: np.ndarray | None,
) -> HeadSearch:
    train, validation = training_set.members("train"), training_set.members("val")
    labels = training_set.dataset.labels
    features = np.concatenate([extracted.values[train], *extracted.views])
    truth = np.tile(labels[train], 1 + len(extracted.views))
    search = search_head(
        (features, truth),
        (extracted.values[validation], labels[validation]),
        len(training_set.labels),
        weights=weights,
        root_features=backbone.takes_roots,
    )
    log.info(
        "head: %d tried, best %sL2 %g with label smoothing %g: validation accuracy %.4f",
        len(search.trials),
        "on square roots of the features: " if search.head.root_features else "",
        search.chosen.regularization,
        search.chosen.label_smoothing,
        search.chosen.validation_accuracy,
    )
    return search


def judge(
    settings: ClassifierSettings, training_set: TrainingSet, logits: np.ndarray
) -> tuple[ScoreCalibration, dict[str, dict[str, Any]]]:
    """Calibrate on validation and measure every split.

    Args:
        settings: The settings.
        training_set: Whose images.
        logits: float (images, classes) of the whole set.

    Returns:
        The calibration, and split to `cnnkit.classification.training.figures.evaluation`.
    """
    truth = training_set.dataset.labels
    validation = training_set.members("val")
    calibration = calibrate(logits[validation], truth[validation], settings.unknown_precision)
    evaluations = {}
    for split in SPLITS:
        members = training_set.members(split)
        if len(members):
            evaluations[split] = evaluation(
                logits[members],
                truth[members],
                temperature=calibration.temperature,
                labels=training_set.labels,
                paths=[training_set.dataset.files[i].path for i in members],
            )
    return calibration, evaluations
