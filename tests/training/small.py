"""A small network with stages, batch normalization and dropout, and data that it can learn."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from cnnkit.training import ArrayBatches, BatchMaker, TrainingPlan

CLASSES = 3


def small_network(seed: int = 5) -> keras.Model:
    """Two stages of convolution, batch normalization and a skip, then dropout and a head."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((6, 6, 1), name="image")
    x = layers.Rescaling(1 / 255, name="normalise")(image)
    x = layers.Conv2D(4, 3, name="stem_conv")(x)
    for stage in (1, 2):
        shortcut = x
        x = layers.Conv2D(4, 3, padding="same", name=f"stage{stage}_block1_conv")(x)
        x = layers.BatchNormalization(name=f"stage{stage}_block1_bn")(x)
        x = layers.Activation("relu", name=f"stage{stage}_block1_activation")(x)
        x = layers.Add(name=f"stage{stage}_block1_add")([x, shortcut])
    x = layers.Conv2D(8, 1, name="head_conv")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    x = layers.Dense(CLASSES, name="classifier")(x)
    x = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(image, x, name="small")


def examples(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of three kinds in noise, uint8 (count, 6, 6, 1), and their kind."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count).astype(np.int32)
    stripes = np.stack([np.eye(6), np.tile([1, 0], (6, 3)), np.tile([[1], [0]], (3, 6))])
    images = 120 * stripes[labels] + random.uniform(0, 130, (count, 6, 6))
    return images.astype(np.uint8)[..., None], labels


def makers(count: int = 48) -> tuple[BatchMaker, BatchMaker]:
    """Return what makes training and validation batches of a size."""
    training, held_out = examples(count, 1), examples(20, 2)
    return (
        lambda size: ArrayBatches(*training, size, training=True, seed=3),
        lambda size: ArrayBatches(*held_out, size, training=False),
    )


def plan(epochs: int = 3, **changes: object) -> TrainingPlan:
    """Return a plan from scratch with the small network's batches."""
    return TrainingPlan.from_scratch(epochs, **{"batch_size": 8, "learning_rate": 0.01, **changes})


def values(model: keras.Model) -> list[np.ndarray]:
    """Return a copy of every variable."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    """Bit for bit."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
