"""Losses of classifiers, and the figures that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def class_shares(labels: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Return labels as shares of the classes.

    Args:
        labels: Class numbers (batch,) or (batch, 1), or shares already (batch, classes).
        classes: How many there are, at least 2.

    Returns:
        float32 (batch, classes), each row with the sum 1.
    """
    if len(labels.shape) == 2 and labels.shape[-1] == classes:
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes, dtype="float32")


def cross_entropy(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return the cross-entropy of each example in nats, float32 (batch,).

    Args:
        labels: See `class_shares`.
        logits: (batch, classes).
    """
    shares = class_shares(labels, logits.shape[-1])
    return -ops.sum(shares * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)


def is_correct(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where the highest logit is that of the largest share, else 0, float32 (batch,)."""
    shares = class_shares(labels, logits.shape[-1])
    same = ops.equal(ops.argmax(shares, axis=-1), ops.argmax(logits, axis=-1))
    return ops.cast(same, "float32")


class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy from logits with label smoothing and class weights.

    The target is ``(1 - smoothing) * label + smoothing / classes`` (Szegedy et al. 2016,
    arXiv 1512.00567); an example's loss is multiplied by the weight of its true class, the one
    before smoothing, or by the mean of the weights where classes are mixed.
    """

    def __init__(self, smoothing: float = 0.0, class_weights: Sequence[float] | None = None):
        """Keep the parameters.

        Args:
            smoothing: 0 to below 1.
            class_weights: One a class, over 0; None: all 1.
        """
        super().__init__(name="loss")
        self.smoothing = smoothing
        self.class_weights = class_weights

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss of each example, float32 (batch,).

        Args:
            y_true: Labels, see `class_shares`.
            y_pred: Logits (batch, classes).
        """
        classes = y_pred.shape[-1]
        shares = class_shares(y_true, classes)
        smoothed = shares * (1 - self.smoothing) + self.smoothing / classes
        losses = cross_entropy(smoothed, y_pred)
        if self.class_weights is None:
            return losses
        weights = np.asarray(self.class_weights, np.float32)
        return losses * ops.sum(shares * weights, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what the loss is made from."""
        return {"smoothing": self.smoothing, "class_weights": self.class_weights}
