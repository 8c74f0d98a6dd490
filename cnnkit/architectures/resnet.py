"""ResNet-18, 34, 50, 101 and 152, and their plain twins: the same layers without the skips.

He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385:
table 1, with projections where the shape changes (its option B). A block computes
``a[l+2] = g(z[l+2] + a[l])``; a plain twin leaves ``a[l]`` out, projections included.
"""

from __future__ import annotations

from typing import NamedTuple, Unpack

import keras
from keras import layers

from cnnkit.architectures import blocks

STAGE_FILTERS = (64, 128, 256, 512)
# A bottleneck restores four times the channels that its 3x3 convolution sees.
BOTTLENECK_EXPANSION = 4
EPSILON = 1e-5


class ResNetVariant(NamedTuple):
    """What makes a member of the family.

    Attributes:
        repeats: Blocks of each of the four stages.
        bottleneck: 1x1, 3x3, 1x1 in a block; otherwise two 3x3.
        residual: Whether the blocks add their input.
    """

    repeats: tuple[int, int, int, int]
    bottleneck: bool
    residual: bool = True


VARIANTS = {
    "resnet_18": ResNetVariant((2, 2, 2, 2), False),
    "resnet_34": ResNetVariant((3, 4, 6, 3), False),
    "resnet_50": ResNetVariant((3, 4, 6, 3), True),
    "resnet_101": ResNetVariant((3, 4, 23, 3), True),
    "resnet_152": ResNetVariant((3, 8, 36, 3), True),
}
VARIANTS |= {
    name.replace("resnet", "plain"): variant._replace(residual=False)
    for name, variant in list(VARIANTS.items())
}


def conv_unit(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """Convolution padded to keep the size, batch normalization, activation; He's start."""
    return blocks.conv_unit(
        x,
        filters,
        kernel_size,
        name=name,
        strides=strides,
        activation=activation,
        epsilon=EPSILON,
        # Without a stride, ``same`` is the same.
        padding=kernel_size // 2 if strides > 1 else None,
        initializer="he_normal",
    )


def basic_path(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions; the second is linear, since the skip is added before its ReLU."""
    x = conv_unit(x, filters, 3, f"{name}_first", strides)
    return conv_unit(x, filters, 3, f"{name}_second", activation=None)


def bottleneck_path(
    x: keras.KerasTensor, filters: int, strides: int, name: str, stride_in: str
) -> keras.KerasTensor:
    """Reduce the channels by 1x1, filter by 3x3, restore by 1x1, linear at the end."""
    reduce_strides, filter_strides = (strides, 1) if stride_in == "1x1" else (1, strides)
    x = conv_unit(x, filters, 1, f"{name}_reduce", reduce_strides)
    x = conv_unit(x, filters, 3, f"{name}_filter", filter_strides)
    expanded = BOTTLENECK_EXPANSION * filters
    return conv_unit(x, expanded, 1, f"{name}_restore", activation=None)


def block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    name: str,
    variant: ResNetVariant,
    stride_in: str,
) -> keras.KerasTensor:
    """Return ``relu(path(x) + x)``, the input projected where the shape changes.

    A plain block returns ``relu(path(x))``.
    """
    shortcut = x  # (batch, height, width, channels)
    if variant.bottleneck:
        x = bottleneck_path(x, filters, strides, name, stride_in)
    else:
        x = basic_path(x, filters, strides, name)
    if variant.residual:
        channels = x.shape[blocks.CHANNEL_AXIS]
        if strides > 1 or shortcut.shape[blocks.CHANNEL_AXIS] != channels:
            shortcut = conv_unit(
                shortcut, channels, 1, f"{name}_shortcut", strides, activation=None
            )
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.Activation("relu", name=f"{name}_output")(x)


class ResNetArguments(blocks.BuilderArguments, total=False):
    """What a member of the family takes; see `resnet`."""

    stride_in: str


def resnet(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
    stride_in: str = "3x3",
) -> keras.Model:
    """Build a member of the family.

    Args:
        name: A key of `VARIANTS`.
        input_shape: Height, width and channels; (224, 224, 3) by default.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features (batch, 512), or (batch, 2048) of bottlenecks.
        stride_in: Which convolution of a bottleneck halves the size: ``3x3``, as torchvision
            and most weights have it, or ``1x1`` of the paper, which multiplies less. Nothing
            to nets of basic blocks.

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).

    Raises:
        ValueError: `stride_in` is neither.
    """
    if stride_in not in ("3x3", "1x1"):
        raise ValueError(f"`stride_in` must be '3x3' or '1x1'. Received: {stride_in!r}.")
    variant = VARIANTS[name]
    # === Layers ===
    image = blocks.rgb_input(input_shape or (224, 224, 3))
    x = blocks.standardize(image)
    x = conv_unit(x, 64, 7, "stem", strides=2)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # zeros lose to a ReLU's output
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    stages = zip(STAGE_FILTERS, variant.repeats, strict=True)
    for number, (filters, repeats) in enumerate(stages, start=1):
        for position in range(1, repeats + 1):
            strides = 2 if number > 1 and position == 1 else 1
            stage = f"stage{number}_block{position}"
            x = block(x, filters, strides, stage, variant, stride_in)
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 512 or 2048)
    if include_top:
        x = blocks.classifier(x, classes)
    # === Model ===
    return keras.Model(image, x, name=name)


def resnet_18(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-18, 11,689,512 trained parameters with 1,000 classes; see `resnet`."""
    return resnet("resnet_18", **arguments)


def resnet_34(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-34, 21,797,672 trained parameters with 1,000 classes; see `resnet`."""
    return resnet("resnet_34", **arguments)


def resnet_50(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-50, 25,557,032 trained parameters with 1,000 classes; see `resnet`."""
    return resnet("resnet_50", **arguments)


def resnet_101(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-101, 44,549,160 trained parameters with 1,000 classes; see `resnet`."""
    return resnet("resnet_101", **arguments)


def resnet_152(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-152, 60,192,808 trained parameters with 1,000 classes; see `resnet`."""
    return resnet("resnet_152", **arguments)


def plain_18(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-18 without its skips; see `resnet`."""
    return resnet("plain_18", **arguments)


def plain_34(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-34 without its skips; see `resnet`."""
    return resnet("plain_34", **arguments)


def plain_50(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-50 without its skips; see `resnet`."""
    return resnet("plain_50", **arguments)


def plain_101(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-101 without its skips; see `resnet`."""
    return resnet("plain_101", **arguments)


def plain_152(**arguments: Unpack[ResNetArguments]) -> keras.Model:
    """ResNet-152 without its skips; see `resnet`."""
    return resnet("plain_152", **arguments)
