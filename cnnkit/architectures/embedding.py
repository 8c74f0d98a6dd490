"""A small network that describes an image by a few numbers, to be learned from scratch.

Four units of convolution, normalization and pooling, as in VGG (Simonyan and Zisserman,
https://arxiv.org/abs/1409.1556), and a projection onto the unit sphere as in FaceNet (Schroff,
Kalenichenko, Philbin, https://arxiv.org/abs/1503.03832).
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks

FILTERS = (32, 64, 128, 256)
# A run over a few hundred photos has a few hundred steps: the means must keep up with them.
MOMENTUM = 0.9


def unit(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Convolve 3x3 without bias, normalize and rectify; the size stays."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_activation")(x)


def embedding_small(
    input_shape: tuple[int, int, int] | None = None,
    dimensions: int = 128,
    normalized: bool = True,
) -> keras.Model:
    """Build the network, about 0.42 million parameters with 128 dimensions.

    Args:
        input_shape: Height and width, at least 8, and channels; (64, 64, 3) by default.
        dimensions: Numbers of a description.
        normalized: Whether a description has the length 1.

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, channels), to
        descriptions, float32 (batch, dimensions).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (64, 64, 3))
    x = blocks.normalize(image, 1 / 127.5, -1.0)
    for number, filters in enumerate(FILTERS, start=1):
        x = unit(x, filters, f"unit{number}")
        if number < len(FILTERS):
            x = layers.MaxPooling2D(2, name=f"unit{number}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 256)
    x = layers.Dense(dimensions, use_bias=False, name="description")(x)  # (batch, dimensions)
    if normalized:
        x = layers.UnitNormalization(dtype="float32", name="unit_length")(x)
    x = layers.Activation("linear", dtype="float32", name="embedding")(x)
    # === Model ===
    return keras.Model(image, x, name="embedding_small")
