"""AlexNet in its three forms: two groups as published, ungrouped, and "one weird trick".

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012: two GPUs held half of the filters each, which is a convolution of two
groups. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
https://arxiv.org/abs/1404.5997, has one column, fewer filters, and no response normalization.
"""

from __future__ import annotations

from typing import NamedTuple, Unpack

import keras
from keras import layers

from cnnkit.architectures import blocks

KERNELS = (11, 5, 3, 3, 3)
POOLED = (1, 2, 5)  # the convolutions that a pooling of 3x3/2 follows
HIDDEN = 4096
# The map before the first dense layer must have a place: (67 - 11) / 4 + 1 = 15, 7, 3, 1.
SMALLEST = 67


class AlexNetVariant(NamedTuple):
    """What makes a member of the family.

    Attributes:
        filters: Number of filters of each of the five convolutions.
        groups: Number of groups of each of them.
        first_padding: Zeros around the image.
        input_size: Side of the published image.
        normalized: Whether local responses are normalized after the first two.
    """

    filters: tuple[int, ...]
    groups: tuple[int, ...]
    first_padding: int
    input_size: int
    normalized: bool


VARIANTS = {
    # The paper says 224, but 55x55 maps come from 227 without padding.
    "alexnet": AlexNetVariant((96, 256, 384, 384, 256), (1, 2, 1, 2, 2), 0, 227, True),
    "alexnet_ungrouped": AlexNetVariant((96, 256, 384, 384, 256), (1,) * 5, 0, 227, True),
    "alexnet_one_weird_trick": AlexNetVariant((64, 192, 384, 256, 256), (1,) * 5, 2, 224, False),
}


def convolutions(x: keras.KerasTensor, variant: AlexNetVariant) -> keras.KerasTensor:
    """Five convolutions, three poolings; (batch, 6, 6, 256) from the published size."""
    shapes = zip(variant.filters, KERNELS, variant.groups, strict=True)
    for number, (filters, kernel_size, groups) in enumerate(shapes, start=1):
        first = number == 1
        x = blocks.conv_relu(
            x,
            filters,
            kernel_size,
            f"conv{number}",
            strides=4 if first else 1,
            padding=variant.first_padding if first else kernel_size // 2,
            groups=groups,
        )
        if variant.normalized and number <= 2:
            x = blocks.local_response(x, offset=2.0, scale=1e-4)
        if number in POOLED:
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return x


def alexnet_of(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
) -> keras.Model:
    """Build a member of the family.

    Args:
        name: A key of `VARIANTS`.
        input_shape: Height, width and channels; the variant's own size by default. Height and
            width are at least 67, and fixed unless the top is left away: the first dense layer
            sees every place.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features of the last convolution (batch, 256).

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).

    Raises:
        ValueError: The image is too small.
    """
    variant = VARIANTS[name]
    shape = input_shape or (variant.input_size, variant.input_size, 3)
    if any(side is not None and side < SMALLEST for side in shape[:2]):
        rule = f"`input_shape` must be at least {SMALLEST}x{SMALLEST} for {name}"
        raise ValueError(f"{rule}. Received: input_shape={shape}.")
    # === Layers ===
    image = blocks.rgb_input(shape)
    x = convolutions(blocks.standardize(image), variant)
    if include_top:
        x = blocks.wide_head(x, HIDDEN, classes, dropout_first=True)  # of 9,216 numbers
    else:
        x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 256)
    # === Model ===
    return keras.Model(image, x, name=name)


def alexnet(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """AlexNet of two groups, 60,965,224 parameters with 1,000 classes; see `alexnet_of`."""
    return alexnet_of("alexnet", **arguments)


def alexnet_ungrouped(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """AlexNet whose filters see all channels, 62,378,344 parameters; see `alexnet_of`."""
    return alexnet_of("alexnet_ungrouped", **arguments)


def alexnet_one_weird_trick(**arguments: Unpack[blocks.BuilderArguments]) -> keras.Model:
    """AlexNet of 2014, as torchvision has it, 61,100,840 parameters; see `alexnet_of`."""
    return alexnet_of("alexnet_one_weird_trick", **arguments)
