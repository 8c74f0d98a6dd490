"""LeNet-5: the small network that read handwritten digits.

LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the
IEEE 86 (1998), in today's form: max pooling for the trained subsampling, ReLU for the scaled
hyperbolic tangent, every filter over all channels, and a dense layer of logits at the end.
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks


def conv_pool(x: keras.KerasTensor, filters: int, number: int) -> keras.KerasTensor:
    """Convolve 5x5 without padding, rectify, and halve the size.

    Returns:
        Tensor of shape (batch, (height - 4) // 2, (width - 4) // 2, filters).
    """
    x = layers.Conv2D(filters, 5, name=f"conv{number}")(x)
    x = layers.Activation("relu", name=f"conv{number}_activation")(x)
    return layers.MaxPooling2D(2, name=f"pool{number}")(x)


def lenet_5(
    input_shape: tuple[int, int, int] | None = None,
    classes: int = 10,
    include_top: bool = True,
) -> keras.Model:
    """Build LeNet-5, 61,706 parameters over gray images of 32x32 with 10 classes.

    Args:
        input_shape: Height and width, at least 16, and channels, 1 or 3; (32, 32, 1) by default.
            They are fixed: the first dense layer sees every place.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the features of the
            last hidden layer (batch, 84).

    Returns:
        A functional model over gray or RGB pixels 0 to 255, float32 (batch, height, width,
        channels).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (32, 32, 1))
    # The paper's range: -0.1 to 1.175, so that a digit's mean is about 0 and its variance 1.
    x = blocks.normalize(image, 1.275 / 255, -0.1)
    x = conv_pool(x, 6, 1)  # (batch, 14, 14, 6) from 32x32
    x = conv_pool(x, 16, 2)  # (batch, 5, 5, 16)
    x = layers.Flatten(name="flatten")(x)  # (batch, 400)
    x = layers.Dense(120, "relu", name="hidden1")(x)
    x = layers.Dense(84, "relu", name="hidden2")(x)
    x = layers.Activation("linear", name="features")(x)  # (batch, 84)
    if include_top:
        x = layers.Dense(classes, name="classifier")(x)
        x = layers.Activation("linear", dtype="float32", name="logits")(x)  # (batch, classes)
    # === Model ===
    return keras.Model(image, x, name="lenet_5")
