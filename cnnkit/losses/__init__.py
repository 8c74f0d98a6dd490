"""Losses and the figures that go with them, in `keras.ops`, a file for each kind of task."""

from __future__ import annotations

from cnnkit.runtime import import_keras

import_keras()  # quietly: the modules here import it by themselves

from cnnkit.losses.classification import (  # noqa: E402
    SmoothedCrossEntropy,
    class_shares,
    cross_entropy,
    is_correct,
)

__all__ = [
    "SmoothedCrossEntropy",
    "class_shares",
    "cross_entropy",
    "is_correct",
]
