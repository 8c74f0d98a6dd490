"""The pieces that several families share: normalised inputs, convolution units, heads."""

from __future__ import annotations

import keras
from keras import layers

CHANNEL_AXIS = -1


def rgb_input(input_shape: tuple[int | None, int | None, int]) -> keras.KerasTensor:
    """Return the input of every network: RGB, 0 to 255, float32.

    Args:
        input_shape: Height, width (None: any) and channels.
    """
    return keras.Input(input_shape, name="image", dtype="float32")


def normalise(x: keras.KerasTensor, scale: float, offset: list[float] | float) -> keras.KerasTensor:
    """Return ``x * scale + offset``, per channel where `offset` is a list."""
    return layers.Rescaling(scale, offset, name="normalise")(x)


def conv_unit(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    epsilon: float = 1e-3,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, activation.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        filters: Number of output channels.
        kernel_size: Side of the square kernel.
        name: Prefix of the layers: NAME_conv, NAME_bn, NAME_activation.
        strides: Step in both directions; padding is ``same``.
        activation: A Keras activation, or None for a linear unit.
        epsilon: Of the batch normalisation.

    Returns:
        Tensor of shape (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    x = layers.Conv2D(
        filters, kernel_size, strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return normalised_activation(x, name, activation, epsilon)


def depthwise_unit(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    epsilon: float = 1e-3,
) -> keras.KerasTensor:
    """Depthwise convolution without bias, batch normalisation, activation; see `conv_unit`."""
    x = layers.DepthwiseConv2D(
        kernel_size, strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    return normalised_activation(x, name, activation, epsilon)


def normalised_activation(
    x: keras.KerasTensor, name: str, activation: str | None, epsilon: float
) -> keras.KerasTensor:
    """Batch normalisation over the channels, then the activation."""
    x = layers.BatchNormalization(CHANNEL_AXIS, epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.Activation(activation, name=f"{name}_activation")(x) if activation else x


def dense_head(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    """Dropout and a dense layer that gives logits in float32, also under mixed precision."""
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="classifier")(x)
    return layers.Activation("linear", dtype="float32", name="logits")(x)  # (batch, classes)
