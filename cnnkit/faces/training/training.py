"""Trains the network: P people with K photos per batch, watched for collapse."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.data.augment import Augmenter
from cnnkit.data.identities import IdentityLoader
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import CnnkitError, UsageError, broken_rule
from cnnkit.faces.pairs import area_under_curve, pair_distances, spread
from cnnkit.faces.training.people import FacePhotos, TrainingPeople
from cnnkit.faces.training.settings import EmbedderSettings
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.tracing import quiet_tracing
from cnnkit.training import EpochReport, TrainingPlan, TrainingResult, train
from cnnkit.training.run import identity_of

log = logging.getLogger(__name__)

PREDICTED_AT_ONCE = 256
# Below it all descriptions are one: what is left is rounding and the last bit of the first layer.
COLLAPSED = 0.02
# The distance at which the logistic loss says one half.
MIDPOINT = 4.0
COLLAPSE_FIX = (
    "Lower `learning_rate`, use `loss='semi-hard'` or batch-all, or more `people` per batch."
)


@dataclass
class Watch:
    """Follows the descriptions of the validation photos from epoch to epoch.

    Attributes:
        model: The model in training.
        images: Validation images.
        metric: Metric of the distances.
        epochs: One line for each: the report's figures, ``auc``, ``mean_same``,
            ``mean_different`` and ``spread``.
    """

    model: Any
    images: FacePhotos
    metric: str
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, report: EpochReport) -> None:
        """Measure one epoch, tell of it, and warn where all descriptions have become one."""
        vectors = describe(self.model, self.images.pixels)
        figures: dict[str, Any] = {"spread": spread(vectors)}
        if np.isfinite(vectors).all():
            pairs = pair_distances(vectors, self.images.labels, self.metric)
            figures["auc"] = area_under_curve(pairs)
            figures["mean_same"] = float(pairs.same.mean())
            figures["mean_different"] = float(pairs.different.mean())
        self.epochs.append({**report.to_dict(), **figures})
        stage = f"epoch {report.epoch} of {report.epochs}: loss {report.loss:.4f};"
        log.info(
            "%s validation loss %.4f, AUC %.4f, distances %.3f and %.3f%s",
            stage if report.epoch else "start:",
            report.val_loss,
            figures.get("auc", float("nan")),
            figures.get("mean_same", float("nan")),
            figures.get("mean_different", float("nan")),
            ", the best so far" if report.best else "",
        )
        if figures["spread"] < COLLAPSED:
            log.warning(
                "collapse: the embeddings of all people are nearly identical (spread %.4f). %s",
                figures["spread"],
                COLLAPSE_FIX,
            )


@dataclass(frozen=True)
class EmbedderTraining:
    """The result of training the network.

    Attributes:
        result: The epochs.
        plan: What was done.
        epochs: See `Watch`.
    """

    result: TrainingResult
    plan: TrainingPlan
    epochs: list[dict[str, Any]]


def describe(model: Any, pixels: np.ndarray) -> np.ndarray:
    """Return the descriptions of photos, float32 (photos, dimensions).

    Args:
        model: A `keras.Model`.
        pixels: uint8 (photos, side, side, 3).
    """
    with quiet_tracing():
        parts = [
            np.asarray(model.predict_on_batch(pixels[start : start + PREDICTED_AT_ONCE]))
            for start in range(0, len(pixels), PREDICTED_AT_ONCE)
        ]
    return np.concatenate(parts)


def train_embedder(
    settings: EmbedderSettings, model: Any, people: TrainingPeople, state_folder: Path
) -> EmbedderTraining:
    """Train a network; it is left with the weights of the best epoch.

    Args:
        settings: The settings.
        model: Ends in descriptions (batch, dimensions).
        people: The photos.
        state_folder: Folder of the checkpoints.

    Raises:
        UsageError: The state folder holds another run.
        CnnkitError: All descriptions have become one.
    """
    held_out = people.split("val")
    metric = "manhattan" if settings.loss == "logistic" else "euclidean"
    watch = Watch(model, held_out, metric)
    plan = plan_of(settings)
    result = train(
        model,
        _batches(settings, people.split("train"), training=True),
        _batches(settings, held_out, training=False),
        plan,
        state_folder=state_folder,
        resume=settings.resume,
        identity=_identity(settings, people),
        on_epoch=watch,
        objective=objective(settings),
    )
    left = spread(describe(model, held_out.pixels))
    if left < COLLAPSED:
        rule = "tell people apart"
        received = f"the same embedding for everyone (spread {left:.4f}), a collapse"
        raise CnnkitError(broken_rule("the best epoch", rule, received, COLLAPSE_FIX))
    return EmbedderTraining(result, plan, _whole_history(result, watch.epochs))


def _whole_history(result: TrainingResult, watched: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every epoch, those before a resume without what was watched then."""
    seen = {epoch["epoch"]: epoch for epoch in watched}
    return [seen.get(r.epoch, r.to_dict()) for r in result.history]


def plan_of(settings: EmbedderSettings) -> TrainingPlan:
    """Return the plan of the training loop: one rate for all layers."""
    return TrainingPlan.from_scratch(
        settings.epochs,
        batch_size=settings.people * settings.photos,
        learning_rate=settings.rate,
        label_smoothing=0.0,
        patience=settings.patience,
        seed=settings.seed,
        start_counts=settings.network != "embedding-small",
    )


def objective(settings: EmbedderSettings) -> Any:
    """Return the loss of a run as the training loop takes it."""
    from cnnkit.losses.triplets import PairLogisticLoss, TripletLoss, nearest_is_same
    from cnnkit.training.objective import Objective

    if settings.loss == "logistic":
        loss: Any = PairLogisticLoss(MIDPOINT)
    else:
        loss = TripletLoss(settings.loss, settings.margin)
    return Objective(loss, loss.call, nearest_is_same, _check_descriptions)


def _check_descriptions(model: Any) -> None:
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        rule = "end in embeddings (batch, dimensions)"
        raise UsageError(broken_rule(model.name, rule, f"outputs {shapes}"))


def _batches(
    settings: EmbedderSettings, images: FacePhotos, *, training: bool
) -> Callable[[int], IdentityLoader]:
    augmenter = Augmenter(read_recipe(settings.augment), settings.seed) if training else None

    def make(size: int) -> IdentityLoader:
        """Return a loader of these images for a batch size."""
        return IdentityLoader(
            images,
            size,
            photos_each=settings.photos,
            training=training,
            augmenter=augmenter,
            seed=settings.seed,
            workers=settings.workers,
            multiple=current_group().devices,
        )

    return make


def _identity(settings: EmbedderSettings, people: TrainingPeople) -> str:
    """Return a hash of all that a resumed run must share with the one before."""
    names = ("network", "loss", "margin", "photos", "dimensions", "size", "crop")
    chosen = {name: getattr(settings, name) for name in names}
    recipe = read_recipe(settings.augment).to_dict(settings.side, settings.side)
    return identity_of(chosen | {"data": people.sha256(), "augment": recipe})
