"""Arbitrary style in one pass: a network that reads a style, and one that paints with it.

Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization
network", https://arxiv.org/abs/1705.06830. The first network sees the image of a style and
gives 100 numbers; the second paints any image, each of its normalizations scaled and
shifted by what it reads from these numbers. This is the small form that the authors made for
telephones: MobileNetV2 (https://arxiv.org/abs/1801.04381) reads the style, and the painter
has a quarter of the channels. Their batch normalizations are folded into the convolutions.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import layers

from cnnkit.architectures import blocks

STYLE_NUMBERS = 100
SIDE = 384  # of the originals' content images; theirs of a style has 256
STYLE_SIDE = 256
RESIDUAL_BLOCKS = 5


class TransformStage(NamedTuple):
    """A run of MobileNetV2's bottlenecks; only the first has the stride."""

    repeats: int
    strides: int
    expansion: int
    filters: int


STAGES = (
    TransformStage(1, 1, 1, 16),
    TransformStage(2, 2, 6, 24),
    TransformStage(3, 2, 6, 32),
    TransformStage(4, 2, 6, 64),
    TransformStage(3, 1, 6, 96),
    TransformStage(3, 2, 6, 160),
    TransformStage(1, 1, 6, 320),
)


def conv_relu6(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    """Convolution with bias, ``same`` padding, and ReLU6."""
    x = layers.Conv2D(filters, kernel_size, strides, padding="same", name=name)(x)
    return layers.Activation("relu6", name=f"{name}_activation")(x)


def bottleneck(
    x: keras.KerasTensor, stage: TransformStage, strides: int, name: str
) -> keras.KerasTensor:
    """Expand by a 1x1 convolution, filter each channel, project; add the input if it fits.

    Returns:
        Tensor of shape (batch, ceil(height / strides), ceil(width / strides), stage.filters).
    """
    shortcut = x  # (batch, height, width, channels)
    channels = x.shape[-1]
    if stage.expansion > 1:
        x = conv_relu6(x, channels * stage.expansion, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(3, strides, padding="same", name=f"{name}_depthwise")(x)
    x = layers.Activation("relu6", name=f"{name}_depthwise_activation")(x)
    x = layers.Conv2D(stage.filters, 1, name=f"{name}_project")(x)
    if strides == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def magenta_style_predict(
    input_shape: tuple[int | None, int | None, int] | None = None,
) -> keras.Model:
    """Build the network that reads a style, 2,334,916 parameters.

    Args:
        input_shape: Height, width and channels; any height and width by default. The originals
            were trained on styles of 256x256.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to the
        style, float32 (batch, 100).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (None, None, 3))
    x = blocks.normalize(image, 1 / 255, 0.0)
    x = conv_relu6(x, 32, 3, "stem", strides=2)
    for number, stage in enumerate(STAGES, start=1):
        for block in range(1, stage.repeats + 1):
            strides = stage.strides if block == 1 else 1
            x = bottleneck(x, stage, strides, f"stage{number}_block{block}")
    x = conv_relu6(x, 1280, 1, "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (batch, 1280)
    x = layers.Dense(STYLE_NUMBERS, name="bottleneck")(x)
    x = layers.Activation("linear", dtype="float32", name="style")(x)  # (batch, 100)
    # === Model ===
    return keras.Model(image, x, name="magenta_style_predict")


def style_norm(x: keras.KerasTensor, style: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Normalize each channel over the image; scale and shift it as the style says.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        style: Tensor of shape (batch, 100).
        name: Prefix of the layers.
    """
    channels = x.shape[-1]
    scale = layers.Dense(channels, name=f"{name}_scale")(style)
    shift = layers.Dense(channels, name=f"{name}_shift")(style)
    scale = layers.Reshape((1, 1, channels), name=f"{name}_scale_map")(scale)
    shift = layers.Reshape((1, 1, channels), name=f"{name}_shift_map")(shift)
    return blocks.instance_normalized(x, 1e-5, name) * scale + shift


def magenta_style_transform(
    input_shape: tuple[int | None, int | None, int] | None = None,
) -> keras.Model:
    """Build the network that paints, 177,718 parameters.

    Args:
        input_shape: Height, width and channels; any height and width by default. The painted
            image has the next multiples of 4.

    Returns:
        A functional model of two inputs: ``image``, RGB pixels 0 to 255, float32 (batch,
        height, width, 3), and ``style``, float32 (batch, 100). It gives the painted image,
        0 to 255, float32 (batch, height, width, 3).
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (None, None, 3))
    style = keras.Input((STYLE_NUMBERS,), name="style", dtype="float32")
    x = blocks.normalize(image, 1 / 255, 0.0)
    for number, (filters, kernel_size, strides) in enumerate(
        ((8, 9, 1), (16, 3, 2), (32, 3, 2)), start=1
    ):
        x = blocks.mirrored_conv(x, filters, kernel_size, f"contract{number}", strides)
        x = layers.Activation("relu", name=f"contract{number}_activation")(x)
    for number in range(1, RESIDUAL_BLOCKS + 1):  # (batch, height / 4, width / 4, 32)
        shortcut, name = x, f"residual{number}"
        x = blocks.mirrored_conv(x, 32, 3, f"{name}_conv1", use_bias=False)
        x = style_norm(x, style, f"{name}_conv1")
        x = layers.Activation("relu", name=f"{name}_activation")(x)
        x = blocks.mirrored_conv(x, 32, 3, f"{name}_conv2", use_bias=False)
        x = layers.Add(name=f"{name}_add")([style_norm(x, style, f"{name}_conv2"), shortcut])
    for number, filters in enumerate((16, 8), start=1):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"expand{number}_upsample")(x)
        x = blocks.mirrored_conv(x, filters, 3, f"expand{number}", use_bias=False)
        x = layers.Activation("relu", name=f"expand{number}_activation")(
            style_norm(x, style, f"expand{number}")
        )
    x = blocks.mirrored_conv(x, 3, 9, "expand3", use_bias=False)
    x = style_norm(x, style, "expand3")
    x = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    x = layers.Rescaling(255.0, dtype="float32", name="picture")(x)
    # === Model ===
    return keras.Model([image, style], x, name="magenta_style_transform")
