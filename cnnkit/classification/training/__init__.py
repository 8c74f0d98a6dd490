"""Transfer learning: from labeled images to a model bundle that the user owns.

A frozen backbone gives each image's features once, a head is trained on them in seconds,
and a bundle is written that ``cnnkit classify --model BUNDLE`` uses with no other flag.
"""

from __future__ import annotations

from cnnkit.classification.training.backbone import Backbone, open_backbone
from cnnkit.classification.training.head import DenseHead, HeadSearch, search_head
from cnnkit.classification.training.learning import train_classifier
from cnnkit.classification.training.outcome import TrainedClassifier
from cnnkit.classification.training.settings import ClassifierSettings

__all__ = [
    "Backbone",
    "ClassifierSettings",
    "DenseHead",
    "HeadSearch",
    "TrainedClassifier",
    "open_backbone",
    "search_head",
    "train_classifier",
]
