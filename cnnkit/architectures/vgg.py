"""VGG-11, 13, 16 and 19: nothing but 3x3 convolutions, a pooling after each of five blocks.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
https://arxiv.org/abs/1409.1556, table 1, columns A, B, D and E.
"""

from __future__ import annotations

from typing import Unpack

import keras
from keras import layers

from cnnkit.architectures import blocks

BLOCK_FILTERS = (64, 128, 256, 512, 512)
# Convolutions of each block.
VARIANTS = {
    "vgg_11": (1, 1, 2, 2, 2),
    "vgg_13": (2, 2, 2, 2, 2),
    "vgg_16": (2, 2, 3, 3, 3),
    "vgg_19": (2, 2, 4, 4, 4),
}
HIDDEN = 4096


def vgg(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
) -> keras.Model:
    """Build a member of the family.

    Args:
        name: A key of `VARIANTS`.
        input_shape: Height and width, at least 32, and channels; (224, 224, 3) by default. They
            are fixed unless the top is left away: the first dense layer sees every place.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features of the last block (batch, 512).

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (224, 224, 3))
    x = blocks.center(image)
    repeated = zip(BLOCK_FILTERS, VARIANTS[name], strict=True)
    for block, (filters, repeats) in enumerate(repeated, start=1):
        for number in range(1, repeats + 1):
            layer = f"block{block}_conv{number}"
            x = blocks.conv_relu(x, filters, 3, layer, initializer="he_normal")
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    if include_top:
        x = blocks.wide_head(x, HIDDEN, classes, dropout_first=False)  # of 25,088 numbers
    else:
        x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 512)
    # === Model ===
    return keras.Model(image, x, name=name)


def vgg_11(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """VGG-11, column A, 132,863,336 parameters with 1,000 classes; see `vgg`."""
    return vgg("vgg_11", **arguments)


def vgg_13(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """VGG-13, column B, 133,047,848 parameters with 1,000 classes; see `vgg`."""
    return vgg("vgg_13", **arguments)


def vgg_16(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """VGG-16, column D, 138,357,544 parameters with 1,000 classes; see `vgg`."""
    return vgg("vgg_16", **arguments)


def vgg_19(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """VGG-19, column E, 143,667,240 parameters with 1,000 classes; see `vgg`."""
    return vgg("vgg_19", **arguments)
