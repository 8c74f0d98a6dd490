"""Small networks with random weights, for tests that look inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.runtime import import_keras

CLASSES = 3


def features(keras: Any, image: Any, padding: str = "same") -> Any:
    """Two convolutions and a pooling: (batch, side / 2, side / 2, 6) with ``same`` padding."""
    layers = keras.layers
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(4, 3, padding=padding, activation="relu", name="first")(x)
    x = layers.MaxPooling2D(2, name="half")(x)
    x = layers.Conv2D(6, 3, padding=padding, name="second")(x)
    return layers.Activation("relu", name="second_activation")(x)


def pooled(keras: Any, side: int = 16, padding: str = "same", softmax: bool = True) -> Any:
    """Average, dense: the head whose class maps are known without a gradient."""
    image = keras.Input((side, side, 3))
    x = keras.layers.GlobalAveragePooling2D()(features(keras, image, padding))
    x = keras.layers.Dropout(0.5)(x)
    end = "softmax" if softmax else None
    return keras.Model(image, keras.layers.Dense(CLASSES, end, name="scores")(x))


def rooted(keras: Any, side: int = 16) -> Any:
    """Average, square root, dense, as `transfer-learn` builds it for a few images."""
    image = keras.Input((side, side, 3))
    x = keras.layers.GlobalAveragePooling2D()(features(keras, image))
    x = keras.ops.sqrt(keras.layers.Rescaling(1.0, 1e-3)(x))
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, name="scores")(x))


def pointwise(keras: Any, side: int = 16) -> Any:
    """1x1 convolution, average, as SqueezeNet."""
    image = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(CLASSES, 1, name="scores_conv")(features(keras, image))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def dense(keras: Any, side: int = 16, padding: str = "same") -> Any:
    """Flatten, two dense layers: no class maps."""
    image = keras.Input((side, side, 3))
    x = keras.layers.Flatten()(features(keras, image, padding))
    x = keras.layers.Dense(8, "relu")(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, "softmax")(x))


def nested(keras: Any, side: int = 16) -> Any:
    """A model inside a model, as the guides to fine-tuning build it."""
    inner = keras.Input((side, side, 3))
    base = keras.Model(inner, features(keras, inner), name="base")
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            base,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(CLASSES, "softmax"),
        ]
    )
    return model


def open_sided(keras: Any) -> Any:
    """Takes images of any size; a 3x3 of stride 2 is padded differently by odd and even ones."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="strided")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, "softmax")(x))


BUILD = {
    "open": open_sided,
    "pooled": pooled,
    "rooted": rooted,
    "pointwise": pointwise,
    "dense": dense,
    "nested": nested,
}


def saved(folder: Path, name: str, seed: int = 1, **arguments: Any) -> Path:
    """Save one of `BUILD` as a ``.keras`` file, the same weights for the same seed."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = BUILD[name](keras, **arguments)
    for variable in model.weights:
        if "bias" in variable.path:
            variable.assign(0.2 * np.random.default_rng(seed).standard_normal(variable.shape))
    path = folder / f"{name}.keras"
    model.save(path)
    return path


def opened(folder: Path, name: str, **arguments: Any) -> Bundle:
    """Return one of `BUILD` as an opened model."""
    return open_model(str(saved(folder, name, **arguments)))


def some_images(count: int, height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray:
    """Return smooth random images, uint8 (count, height, width, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, -(-height // 4), -(-width // 4), 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
