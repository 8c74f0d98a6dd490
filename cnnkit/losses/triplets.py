"""Losses that learn a distance from the labels of a batch: triplets, and a logistic unit on pairs.

A batch holds some people with some photos of each; every photo is an anchor, the others of the
same person are its positives, all others its negatives. Everything is computed from the matrix of
distances of the batch, whose gradients stay finite where two embeddings are equal.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Below it a squared distance counts as this and has no gradient: the root's is endless at 0.
LEAST_SQUARE = 1e-12


def squared_distances(embeddings: keras.KerasTensor) -> keras.KerasTensor:
    """Return the squared Euclidean distance of every two embeddings, float32 (batch, batch).

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y, which rounding may take a little below 0: cut off there.

    Args:
        embeddings: (batch, dimensions).
    """
    embeddings = ops.cast(embeddings, "float32")
    squares = ops.sum(ops.square(embeddings), axis=1)  # (batch,)
    products = ops.matmul(embeddings, ops.transpose(embeddings))  # (batch, batch)
    return ops.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0)


def distances(embeddings: keras.KerasTensor) -> keras.KerasTensor:
    """Return the Euclidean distance of every two embeddings, float32 (batch, batch).

    Equal embeddings have the distance 1e-6 and the gradient 0.
    """
    return ops.sqrt(ops.maximum(squared_distances(embeddings), LEAST_SQUARE))


def same_and_different(
    labels: keras.KerasTensor,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return which pairs are of one person, and which are of two.

    Args:
        labels: Whole numbers (batch,) or (batch, 1).

    Returns:
        Two float32 (batch, batch) of 0 and 1; an example is no pair with itself.
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    equal = ops.cast(ops.equal(labels[:, None], labels[None, :]), "float32")
    itself = ops.eye(ops.shape(equal)[0], dtype="float32")
    return equal - itself, 1.0 - equal


def semi_hard(
    labels: keras.KerasTensor, embeddings: keras.KerasTensor, margin: float
) -> keras.KerasTensor:
    """Return the triplet loss with semi-hard negatives, a scalar.

    For every anchor and positive the negative is the nearest one that is farther away than the
    positive; where there is none, the farthest. The loss is the mean over anchors and positives
    of ``max(d(a, p)^2 - d(a, n)^2 + margin, 0)`` (Schroff, Kalenichenko, Philbin, "FaceNet",
    https://arxiv.org/abs/1503.03832, section 3.2).

    Args:
        labels: See `same_and_different`.
        embeddings: (batch, dimensions), of unit length in the paper.
        margin: 0.2 in the paper.
    """
    squares = squared_distances(embeddings)
    same, different = same_and_different(labels)
    largest = ops.max(squares, axis=1, keepdims=True)  # (batch, 1)
    # (anchor, positive, negative): is the negative one, and farther away than the positive?
    farther = ops.cast(squares[:, None, :] > squares[:, :, None], "float32")
    farther = farther * different[:, None, :]
    nearest_farther = ops.min(
        ops.where(farther > 0, squares[:, None, :], largest[:, :, None] + 1.0), axis=2
    )  # (anchor, positive)
    farthest = ops.max(squares * different, axis=1, keepdims=True)  # (batch, 1)
    negative = ops.where(ops.max(farther, axis=2) > 0, nearest_farther, farthest)
    losses = ops.relu(squares - negative + margin) * same
    usable = same * ops.max(different, axis=1, keepdims=True)
    return ops.sum(losses * usable) / ops.maximum(ops.sum(usable), 1.0)


def batch_hard(
    labels: keras.KerasTensor, embeddings: keras.KerasTensor, margin: float
) -> keras.KerasTensor:
    """Return the triplet loss with the hardest positive and negative of each anchor, a scalar.

    The mean over the anchors of ``max(max d(a, p) - min d(a, n) + margin, 0)`` (Hermans, Beyer,
    Leibe, "In Defense of the Triplet Loss", https://arxiv.org/abs/1703.07737, equation 5).

    Args:
        labels: See `same_and_different`.
        embeddings: (batch, dimensions).
        margin: 0 stands for the soft margin of the paper, ``log(1 + exp(x))`` for ``max(x, 0)``.
    """
    apart = distances(embeddings)
    same, different = same_and_different(labels)
    positive = ops.max(apart * same, axis=1)  # (batch,)
    largest = ops.max(apart, axis=1, keepdims=True)
    negative = ops.min(ops.where(different > 0, apart, largest + 1.0), axis=1)
    usable = ops.max(same, axis=1) * ops.max(different, axis=1)
    gap = positive - negative
    losses = ops.relu(gap + margin) if margin > 0 else ops.softplus(gap)
    return ops.sum(losses * usable) / ops.maximum(ops.sum(usable), 1.0)


def batch_all(
    labels: keras.KerasTensor, embeddings: keras.KerasTensor, margin: float
) -> keras.KerasTensor:
    """Return the mean triplet loss over all triplets of the batch that have one, a scalar.

    The mean of ``d(a, p) - d(a, n) + margin`` where it is over 0; triplets that are learned
    already take no part, or they would drown the others (the "batch all, non-zero" of
    https://arxiv.org/abs/1703.07737).

    Args:
        labels: See `same_and_different`.
        embeddings: (batch, dimensions).
        margin: Over 0.
    """
    apart = distances(embeddings)
    same, different = same_and_different(labels)
    triplets = same[:, :, None] * different[:, None, :]  # (anchor, positive, negative)
    losses = ops.relu(apart[:, :, None] - apart[:, None, :] + margin) * triplets
    active = ops.cast(losses > 0, "float32")
    return ops.sum(losses) / ops.maximum(ops.sum(active), 1.0)


FORMULAS = {"semi-hard": semi_hard, "batch-hard": batch_hard, "batch-all": batch_all}


class TripletLoss(keras.losses.Loss):
    """One of the triplet losses, for ``compile``; the labels say who is on each image."""

    def __init__(self, mining: str = "semi-hard", margin: float = 0.2):
        """Keep the parameters.

        Args:
            mining: A key of `FORMULAS`.
            margin: See the formulas.
        """
        super().__init__(name="loss")
        self.mining = mining
        self.margin = margin

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the batch's loss for each of its examples, float32 (batch,)."""
        value = FORMULAS[self.mining](y_true, y_pred, self.margin)
        return ops.broadcast_to(value, (ops.shape(y_pred)[0],))

    def get_config(self) -> dict[str, Any]:
        """Return what the loss is made from."""
        return {"mining": self.mining, "margin": self.margin}


def pair_logistic(
    labels: keras.KerasTensor, embeddings: keras.KerasTensor, midpoint: float
) -> keras.KerasTensor:
    """Return the cross-entropy of a logistic unit on ``|f(a) - f(b)|`` over all pairs, a scalar.

    The probability that a pair is of one person is ``sigmoid(midpoint - sum |f(a) - f(b)|)``:
    the unit's weights, none over 0, are part of f. Pairs of one person and of two count as a
    half each, however many there are.

    Args:
        labels: See `same_and_different`.
        embeddings: (batch, dimensions), of any length.
        midpoint: The distance at which the probability is 0.5.
    """
    embeddings = ops.cast(embeddings, "float32")
    difference = ops.abs(embeddings[:, None, :] - embeddings[None, :, :])
    logits = midpoint - ops.sum(difference, axis=2)  # (batch, batch)
    same, different = same_and_different(labels)
    of_same = ops.sum(same * ops.softplus(-logits)) / ops.maximum(ops.sum(same), 1.0)
    of_two = ops.sum(different * ops.softplus(logits)) / ops.maximum(ops.sum(different), 1.0)
    return (of_same + of_two) / 2.0


class PairLogisticLoss(keras.losses.Loss):
    """`pair_logistic` for ``compile``."""

    def __init__(self, midpoint: float = 4.0):
        """Keep the parameter."""
        super().__init__(name="loss")
        self.midpoint = midpoint

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the batch's loss for each of its examples, float32 (batch,)."""
        value = pair_logistic(y_true, y_pred, self.midpoint)
        return ops.broadcast_to(value, (ops.shape(y_pred)[0],))

    def get_config(self) -> dict[str, Any]:
        """Return what the loss is made from."""
        return {"midpoint": self.midpoint}


def nearest_is_same(labels: keras.KerasTensor, embeddings: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where the nearest other example is of the same person, else 0, float32 (batch,)."""
    squares = squared_distances(embeddings)
    far = ops.max(squares) + 1.0
    itself = ops.eye(ops.shape(squares)[0], dtype="float32")
    nearest = ops.argmin(squares + far * itself, axis=1)  # (batch,)
    same, _ = same_and_different(labels)
    chosen = ops.one_hot(nearest, ops.shape(squares)[0], dtype="float32")
    return ops.sum(same * chosen, axis=1)
