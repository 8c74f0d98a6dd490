"""The features of a whole training set, and of augmented views of its training split."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from cnnkit.classification.training.backbone import Backbone
from cnnkit.classification.training.features import FeatureExtractor
from cnnkit.classification.training.preparation import TrainingSet, check_splits
from cnnkit.classification.training.settings import AUTO, ClassifierSettings
from cnnkit.data.augment import Augmenter
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import OutputError, broken_rule
from cnnkit.training.run import StageProgress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extracted:
    """Features of the whole set, and of the augmented views of its training split.

    Attributes:
        values: float32 (images, features).
        views: float32 (views, training images, features), perhaps without a view.
        runtime: The runtime and the precision that gave them.
        cached: How many came from the disk.
    """

    values: np.ndarray
    views: list[np.ndarray]
    runtime: tuple[str, str]
    cached: int


def extract_all(
    settings: ClassifierSettings,
    backbone: Backbone,
    training_set: TrainingSet,
    stage: StageProgress,
) -> tuple[TrainingSet, Extracted]:
    """Return the set without what turned out unreadable, and the features of the rest."""
    augmenter = None
    if settings.views:
        augmenter = Augmenter(read_recipe(settings.augment), settings.seed)
    extractor = FeatureExtractor(
        backbone,
        settings.runtime,
        augmenter=augmenter,
        batch_size=settings.batch_size,
        workers=settings.workers,
        max_pixels=settings.max_pixels,
        engine=settings.engine,
    )
    extractor.predictor  # noqa: B018 - compiled first, so that the images' rate is theirs alone
    images = training_set.images
    with stage("features", len(images)) as advance:
        found = extractor.extract(images, progress=advance)
    for number, failure in sorted(found.failures.items()):
        log.warning("left out: %s (%s)", images[number].path, failure.message)
    if found.cached and settings.backbone != AUTO:  # else they may be of this very run
        log.info("features: %s of them known from an earlier run", f"{found.cached:,}")
    kept = training_set.without(found.failures)
    settings.max_bad.check(kept.failures, len(kept.dataset.files) + len(kept.failures))
    check_splits(kept.dataset, kept.splits)
    values = np.delete(found.values, list(found.failures), axis=0)
    views, cached = _extract_views(settings, extractor, kept, stage)
    runtime = (extractor.predictor.runtime, extractor.predictor.precision)
    return kept, Extracted(values, views, runtime, found.cached + cached)


def _extract_views(
    settings: ClassifierSettings,
    extractor: FeatureExtractor,
    training_set: TrainingSet,
    stage: StageProgress,
) -> tuple[list[np.ndarray], int]:
    """Return the features of augmented views of the training split, and how many were known."""
    if not settings.views:
        return [], 0
    images = training_set.images
    train = [images[i] for i in training_set.members("train")]
    views, cached = [], 0
    with stage("views", settings.views * len(train)) as advance:
        for view in range(settings.views):
            found = extractor.extract(train, view=view, progress=advance)
            for number, failure in found.failures.items():
                rule = "stay readable during the run"
                raise OutputError(broken_rule(train[number].path, rule, failure.message))
            views.append(found.values)
            cached += found.cached
    return views, cached
