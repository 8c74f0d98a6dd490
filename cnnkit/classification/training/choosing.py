"""The choice of a backbone: every embedded classifier is tried on the images at hand.

Each gives their features once, a head is searched on them, and the lowest calibrated loss on
validation wins; but the default is kept unless another is better by more than the noise of the
validation images, for with a few of them the lowest is often so by chance. What is tried depends
on the number of images, not on a clock, so that the same data and seed give the same backbone on
every machine, and in a resumed run.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cnnkit.classification.training.backbone import Backbone, open_backbone
from cnnkit.classification.training.extraction import extract_all
from cnnkit.classification.training.head import (
    best_place,
    class_weights,
    image_losses,
    search_head,
)
from cnnkit.classification.training.preparation import TrainingSet
from cnnkit.classification.training.settings import ClassifierSettings
from cnnkit.training.run import StageProgress

log = logging.getLogger(__name__)

# The embedded classifiers with their multiplies per image; the first is the default.
CANDIDATES = {
    "efficientnet-lite0": 385_187_552,
    "squeezenet-1.1": 352_932_608,
    "efficientnet-lite3": 1_383_321_872,
}
# Multiplies that all candidates together may take: about a minute on two cores, 942 images.
# Of more images so many are tried.
BUDGET = 2_000_000_000_000


@dataclass(frozen=True)
class TriedBackbone:
    """How well a head on one backbone does.

    Attributes:
        name: Name of the backbone.
        images: Number of images of all splits that were tried.
        validation_loss: Log loss on the validation split at its own best temperature.
        validation_accuracy: 0 to 1.
    """

    name: str
    images: int
    validation_loss: float
    validation_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Return the trial ready for JSON."""
        return asdict(self)


def choose_backbone(
    settings: ClassifierSettings, training_set: TrainingSet, stage: StageProgress
) -> tuple[Backbone, tuple[TriedBackbone, ...]]:
    """Return the embedded backbone that does best on validation, and all that were tried.

    Args:
        settings: The settings; their augmented views are not tried.
        training_set: The images.
        stage: Callback that reports progress.

    Raises:
        UsageError: An option does not go with an embedded backbone.
    """
    plain = replace(settings, views=0)
    sample = sample_of(training_set, BUDGET // sum(CANDIDATES.values()))
    backbones, trials, losses = [], [], []
    for name in CANDIDATES:
        backbone = open_backbone(name, settings.weights, settings.fit)
        sample, trial, loss = _tried(plain, backbone, sample, stage)
        backbones.append(backbone)
        trials.append(trial)
        losses.append(loss)
    place = best_place(losses)
    told = "backbone: %s is better" if place else "backbone: %s is kept, no other is clearly better"
    log.info(told, trials[place].name)
    return backbones[place], tuple(trials)


def _tried(
    settings: ClassifierSettings, backbone: Backbone, sample: TrainingSet, stage: StageProgress
) -> tuple[TrainingSet, TriedBackbone, np.ndarray]:
    """Return how well a backbone does, and the loss of each validation image, float (images,).

    The sample comes first, without what turned out unreadable.
    """
    sample, extracted = extract_all(settings, backbone, sample, stage)
    labels = sample.dataset.labels
    train, validation = sample.members("train"), sample.members("val")
    truth = labels[validation]
    weights = class_weights(labels[train], len(sample.labels)) if settings.class_weights else None
    search = search_head(
        (extracted.values[train], labels[train]),
        (extracted.values[validation], truth),
        len(sample.labels),
        weights=weights,
        root_features=backbone.takes_roots,
    )
    found = search.chosen
    trial = TriedBackbone(
        backbone.name, len(sample.splits), found.validation_loss, found.validation_accuracy
    )
    log.info(
        "%s: validation loss %.4f, accuracy %.4f",
        trial.name,
        trial.validation_loss,
        trial.validation_accuracy,
    )
    return sample, trial, image_losses(search.head.logits(extracted.values[validation]), truth)


def sample_of(training_set: TrainingSet, most: int) -> TrainingSet:
    """Return a set with the same share of every class of every split, about `most` images in all.

    Which images it holds depends on their contents, not on their names or order. No class loses
    its last image of a split.

    Args:
        training_set: The whole set, returned as it is if it is small enough.
        most: Number of images.
    """
    count = len(training_set.splits)
    if count <= most:
        return training_set
    order = sorted(range(count), key=lambda i: training_set.contents[i].tobytes())
    groups: dict[tuple[int, int], list[int]] = {}
    for place in order:
        key = int(training_set.splits[place]), int(training_set.dataset.labels[place])
        groups.setdefault(key, []).append(place)
    kept = [i for group in groups.values() for i in group[: max(1, len(group) * most // count)]]
    return training_set.only(np.sort(kept))
