"""The network that paints any image in the one style that it was trained for.

Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution",
https://arxiv.org/abs/1603.08155, with what its authors changed later: instance normalization and
half the channels; and with enlarging by nearest neighbors before a convolution in place of
a transposed convolution, which leaves checkerboard artifacts (https://distill.pub/2016/deconv-checkerboard).
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks
from cnnkit.errors import broken_rule

EPSILON = 1e-5
# A card's numbers decide what is allocated.
LARGEST = {"filters": 128, "residual_blocks": 16}


def painted_unit(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """Mirrored convolution, instance normalization, scale and shift a channel, activation.

    Returns:
        Tensor of shape (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    x = blocks.mirrored_conv(x, filters, kernel_size, f"{name}_conv", strides, use_bias=False)
    x = blocks.instance_normalized(x, EPSILON, f"{name}_norm")
    # Without an activation a shift would be for nothing: the next normalization takes it away.
    x = layers.DepthwiseConv2D(
        1, use_bias=activation is not None, depthwise_initializer="ones", name=f"{name}_scale"
    )(x)
    return layers.Activation(activation, name=f"{name}_activation")(x) if activation else x


def style_transformer(
    input_shape: tuple[int | None, int | None, int] | None = None,
    filters: int = 16,
    residual_blocks: int = 5,
) -> keras.Model:
    """Build the network, 423,779 parameters by default.

    Args:
        input_shape: Height, width and channels; any height and width by default. The painted
            image has the next multiples of 4.
        filters: Channels at the image's own size; twice at half, four times at a quarter.
        residual_blocks: At a quarter of the size.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to the
        painted image, 0 to 255, float32 (batch, height, width, 3).

    Raises:
        ValueError: A number is below 1 or above `LARGEST`.
    """
    for name, value in (("filters", filters), ("residual_blocks", residual_blocks)):
        if not 1 <= value <= LARGEST[name]:
            rule = f"be a whole number from 1 to {LARGEST[name]}"
            raise ValueError(broken_rule(f"`{name}`", rule, f"{name}={value}"))
    # === Layers ===
    image = blocks.rgb_input(input_shape or (None, None, 3))
    x = blocks.normalize(image, 1 / 127.5, -1.0)
    x = painted_unit(x, filters, 9, "contract1")
    x = painted_unit(x, 2 * filters, 3, "contract2", strides=2)
    x = painted_unit(x, 4 * filters, 3, "contract3", strides=2)
    for number in range(1, residual_blocks + 1):  # (batch, height / 4, width / 4, 4 * filters)
        shortcut, name = x, f"residual{number}"
        x = painted_unit(x, 4 * filters, 3, f"{name}_first")
        x = painted_unit(x, 4 * filters, 3, f"{name}_second", activation=None)
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    for number, channels in enumerate((2 * filters, filters), start=1):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"expand{number}_upsample")(x)
        x = painted_unit(x, channels, 3, f"expand{number}")
    x = blocks.mirrored_conv(x, 3, 9, "expand3")
    x = layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    x = layers.Rescaling(255.0, dtype="float32", name="picture")(x)
    # === Model ===
    return keras.Model(image, x, name="style_transformer")
