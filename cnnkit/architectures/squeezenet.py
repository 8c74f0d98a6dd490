"""SqueezeNet 1.1: fire modules that squeeze with 1x1 and expand with 1x1 and 3x3 filters.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size", https://arxiv.org/abs/1602.07360; version 1.1 of the authors' own repository.
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks

# Squeeze and expand channels of fire2 to fire9; a pooling stands before each group.
FIRE_GROUPS = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256)),
)


def fire(x: keras.KerasTensor, squeeze: int, expand: int, name: str) -> keras.KerasTensor:
    """Squeeze the channels, expand them twice, join both.

    Returns:
        Tensor of shape (batch, height, width, 2 * expand).
    """
    x = blocks.conv_relu(x, squeeze, 1, f"{name}_squeeze1x1")
    one = blocks.conv_relu(x, expand, 1, f"{name}_expand1x1")
    three = blocks.conv_relu(x, expand, 3, f"{name}_expand3x3")
    return layers.Concatenate(name=f"{name}_join")([one, three])


def squeezenet_1_1(
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
) -> keras.Model:
    """Build SqueezeNet 1.1, 1,235,496 parameters with 1,000 classes.

    Args:
        input_shape: Height, width and channels; (227, 227, 3) by default.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features of fire9 (batch, 512).

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (227, 227, 3))
    x = blocks.center(image)
    x = blocks.conv_relu(x, 64, 3, "conv1", strides=2)
    number = 2
    for group, fires in enumerate(FIRE_GROUPS, start=1):
        x = layers.MaxPooling2D(3, 2, name=f"pool{group}")(x)
        for squeeze, expand in fires:
            x = fire(x, squeeze, expand, f"fire{number}")
            number += 1
    if include_top:
        x = layers.Dropout(0.5, name="dropout")(x)
        # Linear, as where the weights come from: a rectified score of a class that is below
        # zero everywhere would get no gradient. The paper's network has a ReLU here.
        x = layers.Conv2D(classes, 1, name="conv10")(x)
        x = layers.GlobalAveragePooling2D(name="pool10")(x)
        x = layers.Activation("linear", dtype="float32", name="logits")(x)  # (batch, classes)
    else:
        x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 512)
    # === Model ===
    return keras.Model(image, x, name="squeezenet_1_1")
