"""GoogLeNet: inception blocks stacked, each with 1x1, 3x3 and 5x5 filters side by side.

Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, table 1. The
two auxiliary classifiers, which serve training only, are omitted.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import layers

from cnnkit.architectures import blocks


class Block(NamedTuple):
    """Filters of an inception block, in the order of the paper's table."""

    one: int
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    pooled: int


# The blocks between two poolings.
STAGES = {
    3: {
        "a": Block(64, 96, 128, 16, 32, 32),
        "b": Block(128, 128, 192, 32, 96, 64),
    },
    4: {
        "a": Block(192, 96, 208, 16, 48, 64),
        "b": Block(160, 112, 224, 24, 64, 64),
        "c": Block(128, 128, 256, 24, 64, 64),
        "d": Block(112, 144, 288, 32, 64, 64),
        "e": Block(256, 160, 320, 32, 128, 128),
    },
    5: {
        "a": Block(256, 160, 320, 32, 128, 128),
        "b": Block(384, 192, 384, 48, 128, 128),
    },
}


def inception_block(x: keras.KerasTensor, block: Block, name: str) -> keras.KerasTensor:
    """Four branches over one input, their channels joined.

    Returns:
        Tensor of shape (batch, height, width, one + three + five + pooled).
    """
    one = blocks.conv_relu(x, block.one, 1, f"{name}_1x1")
    three = blocks.conv_relu(x, block.reduce_three, 1, f"{name}_3x3_reduce")
    three = blocks.conv_relu(three, block.three, 3, f"{name}_3x3")
    five = blocks.conv_relu(x, block.reduce_five, 1, f"{name}_5x5_reduce")
    five = blocks.conv_relu(five, block.five, 5, f"{name}_5x5")
    pooled = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    pooled = blocks.conv_relu(pooled, block.pooled, 1, f"{name}_pool_1x1")
    return layers.Concatenate(name=f"{name}_join")([one, three, five, pooled])


def halved(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The largest of each 3x3, in steps of 2: height and width halved, rounded up."""
    return layers.MaxPooling2D(3, 2, padding="same", name=name)(x)


def googlenet(
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
) -> keras.Model:
    """Build GoogLeNet, 6,998,552 parameters with 1,000 classes, as in the paper's table.

    Args:
        input_shape: Height, width and channels; (224, 224, 3) by default.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features (batch, 1024).

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (224, 224, 3))
    x = blocks.standardize(image)
    x = blocks.conv_relu(x, 64, 7, "conv1", strides=2)
    x = blocks.local_response(halved(x, "pool1"), offset=1.0, scale=1e-4 / 5)
    x = blocks.conv_relu(x, 64, 1, "conv2_reduce")
    x = blocks.conv_relu(x, 192, 3, "conv2")
    x = halved(blocks.local_response(x, offset=1.0, scale=1e-4 / 5), "pool2")
    for stage, members in STAGES.items():
        for letter, block in members.items():
            x = inception_block(x, block, f"inception{stage}{letter}")
        if stage < max(STAGES):
            x = halved(x, f"pool{stage}")
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 1024)
    if include_top:
        x = blocks.dense_head(x, classes, dropout=0.4)
    # === Model ===
    return keras.Model(image, x, name="googlenet")
