"""The ResNets for small images, 6n + 2 layers deep, and their plain twins.

He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385,
section 4.2: 16, 32 and 64 filters of 3x3 over CIFAR-10's 32x32. Shortcuts have no parameters
(its option A: every second place, zeros for the new channels), so that a residual net and its
plain twin have exactly as many, and differ in nothing but the additions.
"""

from __future__ import annotations

from typing import Unpack

import keras
from keras import layers, ops

from cnnkit.architectures import blocks

STAGE_FILTERS = (16, 32, 64)
EPSILON = 1e-5


def conv_unit(
    x: keras.KerasTensor, filters: int, name: str, strides: int = 1, activation: str | None = "relu"
) -> keras.KerasTensor:
    """Convolve 3x3 with one zero on each side, normalize over the batch, activate."""
    return blocks.conv_unit(
        x,
        filters,
        3,
        name=name,
        strides=strides,
        activation=activation,
        epsilon=EPSILON,
        padding=1 if strides > 1 else None,  # without a stride, ``same`` is the same
        initializer="he_normal",
    )


def bare_shortcut(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Return every `strides`-th place of `x`, with channels of zeros up to `filters`."""
    if strides > 1:
        x = layers.AveragePooling2D(1, strides, name=f"{name}_shortcut")(x)
    missing = filters - x.shape[blocks.CHANNEL_AXIS]
    if missing:
        x = ops.pad(x, [(0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)])
    return x  # (batch, ceil(height / strides), ceil(width / strides), filters)


def block(
    x: keras.KerasTensor, filters: int, strides: int, name: str, residual: bool
) -> keras.KerasTensor:
    """Return ``relu(path(x) + x)`` of two convolutions, or ``relu(path(x))`` if plain."""
    shortcut = x  # (batch, height, width, channels)
    x = conv_unit(x, filters, f"{name}_first", strides)
    x = conv_unit(x, filters, f"{name}_second", activation=None)
    if residual:
        x = layers.Add(name=f"{name}_add")([x, bare_shortcut(shortcut, filters, strides, name)])
    return layers.Activation("relu", name=f"{name}_output")(x)


class CifarArguments(blocks.BuilderArguments, total=False):
    """What a net of a fixed depth takes; see `cifar_resnet`."""

    filters: tuple[int, ...]


def cifar_resnet(
    depth: int,
    residual: bool = True,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 10,
    include_top: bool = True,
    filters: tuple[int, ...] = STAGE_FILTERS,
) -> keras.Model:
    """Build a net of 6n + 2 layers, or of 2n a stage and 2 with other `filters`.

    Args:
        depth: Layers with weights: 8, 14, 20, 32, 44, 56, 110 and so on.
        residual: Whether the blocks add their input.
        input_shape: Height, width and channels; (32, 32, 3) by default.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features (batch, filters of the last stage).
        filters: Channels of each stage; the size halves from one stage to the next.

    Returns:
        A functional model over pixels 0 to 255, float32 (batch, height, width, channels).

    Raises:
        ValueError: `depth` does not share out evenly over the stages.
    """
    repeats, rest = divmod(depth - 2, 2 * len(filters))
    if repeats < 1 or rest:
        rule = f"be {2 * len(filters)}n + 2 for {len(filters)} stages"
        raise ValueError(f"`depth` must {rule}. Received: depth={depth}.")
    # === Layers ===
    image = blocks.rgb_input(input_shape or (32, 32, 3))
    x = blocks.standardize(image)
    x = conv_unit(x, filters[0], "stem")
    for number, channels in enumerate(filters, start=1):
        for position in range(1, repeats + 1):
            strides = 2 if number > 1 and position == 1 else 1
            x = block(x, channels, strides, f"stage{number}_block{position}", residual)
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, filters[-1])
    if include_top:
        x = blocks.classifier(x, classes)
    # === Model ===
    return keras.Model(image, x, name=f"{'resnet' if residual else 'plain'}_{depth}")


def resnet_20(**arguments: Unpack[CifarArguments]) -> keras.Model:
    """ResNet-20 for 32x32, 269,722 trained parameters with 10 classes; see `cifar_resnet`."""
    return cifar_resnet(20, **arguments)


def resnet_56(**arguments: Unpack[CifarArguments]) -> keras.Model:
    """ResNet-56 for 32x32, 853,018 trained parameters with 10 classes; see `cifar_resnet`."""
    return cifar_resnet(56, **arguments)


def plain_20(**arguments: Unpack[CifarArguments]) -> keras.Model:
    """ResNet-20 without its skips, which have no parameters; see `cifar_resnet`."""
    return cifar_resnet(20, residual=False, **arguments)


def plain_56(**arguments: Unpack[CifarArguments]) -> keras.Model:
    """ResNet-56 without its skips, which have no parameters; see `cifar_resnet`."""
    return cifar_resnet(56, residual=False, **arguments)
