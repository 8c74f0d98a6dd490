"""Trains the whole network on the training split: fine-tuning, or from scratch."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.classification.training.backbone import head_layer
from cnnkit.classification.training.network import Network
from cnnkit.classification.training.preparation import TrainingSet
from cnnkit.classification.training.settings import ClassifierSettings
from cnnkit.data import SPLITS
from cnnkit.data.augment import Augmenter
from cnnkit.data.decoded import DecodedImages, MaxBad
from cnnkit.data.loaders import Loader, Mixing
from cnnkit.data.mixing import MIXERS
from cnnkit.data.recipes import read_recipe
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.tracing import quiet_tracing
from cnnkit.runtime.training_devices import shared_evenly
from cnnkit.runtime.training_devices import strategy as all_gpus
from cnnkit.training import EpochReport, TrainingPlan, TrainingResult, find_learning_rate, train
from cnnkit.training.rate_search import STOP_FACTOR
from cnnkit.training.run import identity_of
from cnnkit.training.state_folder import state_folder_of

log = logging.getLogger(__name__)

BATCH_SIZE = 32
PREDICTED_AT_ONCE = 64


@dataclass(frozen=True)
class NetworkTraining:
    """The result of training the whole network.

    Attributes:
        network: With the weights of the best epoch.
        logits: float32 (images, classes) of the whole set.
        result: The epochs.
        plan: What was done.
        rates: Rate and loss of each step of a search for the learning rate, perhaps none.
    """

    network: Network
    logits: np.ndarray
    result: TrainingResult
    plan: TrainingPlan
    rates: tuple[tuple[float, float], ...]


def training_strategy(settings: ClassifierSettings, training_set: TrainingSet) -> Any | None:
    """Return the strategy to train on all GPUs with, or None on one GPU or a CPU."""
    strategy = None if settings.runtime.device == "cpu" else all_gpus()
    if strategy is None:
        return None
    fewest = min(len(training_set.members(split)) for split in ("train", "val"))
    if fewest < strategy.num_replicas_in_sync:
        log.info("One GPU trains: there are more of them than images in a split.")
        return None
    return strategy


def scope_of(strategy: Any | None) -> contextlib.AbstractContextManager[Any]:
    """Return what a network must be built in to be trained with a strategy."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def plan_of(settings: ClassifierSettings, model: Any, weights: np.ndarray | None) -> TrainingPlan:
    """Return the plan of a run.

    Args:
        settings: The settings.
        model: The network.
        weights: Weights of the classes, float (classes,), or None.
    """
    changes: dict[str, Any] = {
        "batch_size": settings.batch_size or BATCH_SIZE,
        "deterministic": settings.deterministic,
        "seed": settings.seed,
        "class_weights": None if weights is None else tuple(map(float, weights)),
    }
    if settings.learning_rate is not None:
        changes["learning_rate"] = settings.learning_rate
    if settings.from_scratch:
        return TrainingPlan.from_scratch(settings.epochs, **changes)
    changes |= {
        "head_layers": (head_layer(model).name,),
        "stages": settings.stages,
        "train_bn": settings.train_bn,
    }
    return TrainingPlan.fine_tuning(settings.fine_tune or 0, **changes)


def train_network(
    settings: ClassifierSettings,
    network: Network,
    training_set: TrainingSet,
    weights: np.ndarray | None,
    strategy: Any | None,
) -> NetworkTraining:
    """Train a network and give its logits for every image.

    Args:
        settings: The settings.
        network: Where to start; one that is built already was built in the strategy's scope.
        training_set: The images.
        weights: Weights of the classes, float (classes,), or None.
        strategy: Strategy returned by `training_strategy`.
    """
    with scope_of(strategy):
        model = network.build()
    devices = current_group().devices if strategy is None else strategy.num_replicas_in_sync
    plan = plan_of(settings, model, weights)
    augmenter = Augmenter(read_recipe(settings.augment), settings.seed)
    mixing = None
    if settings.mix != "none":
        mixing = Mixing(MIXERS[settings.mix], len(training_set.labels))
    with contextlib.ExitStack() as stack:
        decoded = {
            split: stack.enter_context(_decoded(settings, network, training_set, split))
            for split in SPLITS
            if len(training_set.members(split))
        }

        def to_train(size: int) -> Loader:
            """Return a loader of the training images for a batch size."""
            return Loader(
                decoded["train"],
                shared_evenly(size, len(decoded["train"]), devices),
                training=True,
                augmenter=augmenter,
                mixing=mixing,
                seed=settings.seed,
                workers=settings.workers,
            )

        def to_validate(size: int) -> Loader:
            size = shared_evenly(size, len(decoded["val"]), devices)
            return Loader(decoded["val"], size, training=False, workers=settings.workers)

        rates: tuple[tuple[float, float], ...] = ()
        if settings.lr_find:
            plan, rates = _searched(model, to_train, plan, strategy)
        result = train(
            model,
            to_train,
            to_validate,
            plan,
            state_folder=state_folder_of(settings.output),
            resume=settings.resume,
            identity=_identity(settings, network, training_set, augmenter),
            on_epoch=say_epoch,
            tensorboard_folder=Path(settings.tensorboard) if settings.tensorboard else None,
            strategy=strategy,
        )
        logits = _logits(model, training_set, decoded)
    return NetworkTraining(network.trained(model), logits, result, plan, rates)


@contextlib.contextmanager
def _decoded(
    settings: ClassifierSettings, network: Network, training_set: TrainingSet, split: str
) -> Iterator[DecodedImages]:
    """Give a split's images; all of them, for the unreadable ones were omitted before."""
    files = [training_set.dataset.files[i] for i in training_set.members(split)]
    with DecodedImages(
        [file.path for file in files],
        [file.label for file in files],
        network.spec,
        max_bad=MaxBad(share=None, count=0),
        max_pixels=settings.max_pixels,
        workers=settings.workers,
    ) as images:
        yield images


def _searched(
    model: Any, to_train: Any, plan: TrainingPlan, strategy: Any | None
) -> tuple[TrainingPlan, tuple[tuple[float, float], ...]]:
    """Return the plan with the learning rate that a search suggests, and what it saw."""
    found = find_learning_rate(model, to_train, plan, strategy=strategy)
    log.info("learning rate: %.2g suggested after %d steps", found.suggestion, len(found.rates))
    # Without the step that ended it by exploding, beside which nothing else could be seen.
    most = STOP_FACTOR * min(found.losses)
    steps = zip(found.rates, found.losses, strict=True)
    rates = tuple((rate, loss) for rate, loss in steps if loss <= most)
    return replace(plan, learning_rate=found.suggestion), rates


def _identity(
    settings: ClassifierSettings, network: Network, training_set: TrainingSet, augmenter: Augmenter
) -> str:
    """Return a hash of all that a resumed run must share with the one before."""
    spec = network.spec
    return identity_of(
        {
            "data": training_set.sha256(),
            "network": [network.origin, network.sha256, dict(network.arguments)],
            "input": spec.to_dict(),
            "augment": augmenter.recipe.to_dict(spec.height, spec.width),
            "mix": settings.mix,
        }
    )


def say_epoch(report: EpochReport) -> None:
    """Say one line about an epoch."""
    held_out = f"validation loss {report.val_loss:.4f}, accuracy {report.val_accuracy:.4f}"
    best = ", the best so far" if report.best else ""
    if report.epoch == 0:
        log.info("start: %s", held_out)
        return
    log.info(
        "epoch %d of %d: loss %.4f, accuracy %.4f; %s%s; %.1f s, %s left",
        report.epoch,
        report.epochs,
        report.loss,
        report.accuracy,
        held_out,
        best,
        report.seconds,
        _clock_time(report.seconds_left),
    )


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _logits(model: Any, training_set: TrainingSet, decoded: dict[str, DecodedImages]) -> np.ndarray:
    """Return the logits of every image, float32 (images, classes)."""
    logits = np.zeros((len(training_set.splits), len(training_set.labels)), np.float32)
    for split, images in decoded.items():
        parts = []
        for start in range(0, len(images), PREDICTED_AT_ONCE):
            batch = images.pixels[start : start + PREDICTED_AT_ONCE]
            # Of several devices each predicts the whole batch, one below the other.
            with quiet_tracing():
                parts.append(np.asarray(model.predict_on_batch(batch))[: len(batch)])
        logits[training_set.members(split)] = np.concatenate(parts)
    return logits
