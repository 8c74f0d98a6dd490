"""EfficientNet-Lite0 to 4: EfficientNet without squeeze-excite, with ReLU6.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
https://arxiv.org/abs/1905.11946; the Lite variants keep the stem, the head and the number
of blocks of the first and the last stage unscaled.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Unpack

import keras
from keras import layers

from cnnkit.architectures import blocks


class EfficientNetStage(NamedTuple):
    """A run of inverted bottlenecks; only the first has the stride."""

    repeats: int
    kernel_size: int
    strides: int
    expansion: int
    filters: int


STAGES = (
    EfficientNetStage(1, 3, 1, 1, 16),
    EfficientNetStage(2, 3, 2, 6, 24),
    EfficientNetStage(2, 5, 2, 6, 40),
    EfficientNetStage(3, 3, 2, 6, 80),
    EfficientNetStage(3, 5, 1, 6, 112),
    EfficientNetStage(4, 5, 2, 6, 192),
    EfficientNetStage(1, 3, 1, 6, 320),
)
STEM_FILTERS = 32
HEAD_FILTERS = 1280


class EfficientNetArguments(blocks.BuilderArguments, total=False):
    """What the builders of the family take."""

    root_features: bool


class EfficientNetVariant(NamedTuple):
    """How a member of the family scales the base network."""

    width: float
    depth: float
    input_size: int
    dropout: float


VARIANTS = {
    "efficientnet_lite0": EfficientNetVariant(1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": EfficientNetVariant(1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": EfficientNetVariant(1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": EfficientNetVariant(1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": EfficientNetVariant(1.4, 1.8, 300, 0.3),
}


def scaled_filters(filters: int, width: float, divisor: int = 8) -> int:
    """Return the channels times `width`, to the nearest multiple of `divisor`.

    A result that would fall below 90 % of the exact product is rounded up instead.
    """
    exact = filters * width
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


def scaled_stages(variant: EfficientNetVariant) -> list[EfficientNetStage]:
    """Return the stages of a variant: channels scaled, inner stages repeated more often."""
    last = len(STAGES) - 1
    return [
        stage._replace(
            filters=scaled_filters(stage.filters, variant.width),
            repeats=stage.repeats
            if position in (0, last)
            else math.ceil(stage.repeats * variant.depth),
        )
        for position, stage in enumerate(STAGES)
    ]


def inverted_bottleneck(
    x: keras.KerasTensor, stage: EfficientNetStage, strides: int, name: str
) -> keras.KerasTensor:
    """Expand by a 1x1 convolution, filter each channel, project; add the input if it fits."""
    shortcut = x  # (batch, height, width, channels)
    channels = x.shape[-1]
    if stage.expansion > 1:
        x = blocks.conv_unit(
            x, channels * stage.expansion, 1, name=f"{name}_expand", activation="relu6"
        )
    x = blocks.depthwise_unit(
        x, stage.kernel_size, strides=strides, name=f"{name}_filter", activation="relu6"
    )
    x = blocks.conv_unit(x, stage.filters, 1, name=f"{name}_project", activation=None)
    if strides == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x  # (batch, ceil(height / strides), ceil(width / strides), stage.filters)


def stage_outputs(image: keras.KerasTensor, name: str) -> list[keras.KerasTensor]:
    """Return the output of each of the seven stages of a member of the family.

    Args:
        image: RGB pixels 0 to 255, (batch, height, width, 3).
        name: A key of `VARIANTS`.

    Returns:
        Tensors (batch, rows, columns, filters) at the strides 2, 4, 8, 16, 16, 32, 32.
    """
    outputs = []
    x = blocks.normalize(image, 1 / 128, -127 / 128)
    x = blocks.conv_unit(x, STEM_FILTERS, 3, strides=2, name="stem", activation="relu6")
    for number, stage in enumerate(scaled_stages(VARIANTS[name]), start=1):
        for block in range(1, stage.repeats + 1):
            strides = stage.strides if block == 1 else 1
            x = inverted_bottleneck(x, stage, strides, f"stage{number}_block{block}")
        outputs.append(x)
    return outputs


def efficientnet_lite(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int = 1000,
    include_top: bool = True,
    root_features: bool = False,
) -> keras.Model:
    """Build a member of the family.

    Args:
        name: A key of `VARIANTS`.
        input_shape: Height, width and channels; the variant's own size by default.
        classes: Number of classes of the top.
        include_top: Whether to end in logits (batch, classes); otherwise in the pooled
            features (batch, 1280).
        root_features: Whether the top stands on the features' square roots; see
            `cnnkit.architectures.feature_roots`.

    Returns:
        A functional model over RGB pixels 0 to 255, float32 (batch, height, width, 3).
    """
    variant = VARIANTS[name]
    size = variant.input_size
    # === Layers ===
    image = blocks.rgb_input(input_shape or (size, size, 3))
    x = stage_outputs(image, name)[-1]
    x = blocks.conv_unit(x, HEAD_FILTERS, 1, name="head", activation="relu6")
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 1280)
    if include_top:
        x = blocks.rooted(x) if root_features else x
        x = blocks.dense_head(x, classes, variant.dropout)
    # === Model ===
    return keras.Model(image, x, name=name)


def efficientnet_lite0(**arguments: Unpack[EfficientNetArguments]) -> keras.Model:
    """EfficientNet-Lite0, 4,652,008 parameters with 1,000 classes; see `efficientnet_lite`."""
    return efficientnet_lite("efficientnet_lite0", **arguments)


def efficientnet_lite1(**arguments: Unpack[EfficientNetArguments]) -> keras.Model:
    """EfficientNet-Lite1, 5,416,680 parameters with 1,000 classes; see `efficientnet_lite`."""
    return efficientnet_lite("efficientnet_lite1", **arguments)


def efficientnet_lite2(**arguments: Unpack[EfficientNetArguments]) -> keras.Model:
    """EfficientNet-Lite2, 6,092,072 parameters with 1,000 classes; see `efficientnet_lite`."""
    return efficientnet_lite("efficientnet_lite2", **arguments)


def efficientnet_lite3(**arguments: Unpack[EfficientNetArguments]) -> keras.Model:
    """EfficientNet-Lite3, 8,197,096 parameters with 1,000 classes; see `efficientnet_lite`."""
    return efficientnet_lite("efficientnet_lite3", **arguments)


def efficientnet_lite4(**arguments: Unpack[EfficientNetArguments]) -> keras.Model:
    """EfficientNet-Lite4, 13,006,568 parameters with 1,000 classes; see `efficientnet_lite`."""
    return efficientnet_lite("efficientnet_lite4", **arguments)
