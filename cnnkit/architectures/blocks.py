"""The pieces that several families share: normalized inputs, convolution units, heads."""

from __future__ import annotations

from typing import TypedDict

import keras
from keras import layers, ops

from cnnkit.architectures.feature_roots import ROOT_OFFSET

CHANNEL_AXIS = -1
# ImageNet's mean and deviation of red, green and blue, of 0 to 1, as most published weights use.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
# The mean of 0 to 255, as the networks that came out of Caffe saw it in training.
IMAGENET_MEAN_COLOR = (123.68, 116.779, 103.939)


class BuilderArguments(TypedDict, total=False):
    """What every classifier's builder takes."""

    input_shape: tuple[int | None, int | None, int] | None
    classes: int
    include_top: bool


def rgb_input(input_shape: tuple[int | None, int | None, int]) -> keras.KerasTensor:
    """Return the input of every network: RGB, 0 to 255, float32.

    Args:
        input_shape: Height, width (None: any) and channels.
    """
    return keras.Input(input_shape, name="image", dtype="float32")


def normalize(
    x: keras.KerasTensor, scale: list[float] | float, offset: list[float] | float
) -> keras.KerasTensor:
    """Return ``x * scale + offset``, per channel where they are lists."""
    return layers.Rescaling(scale, offset, name="normalise")(x)


def standardize(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return pixels 0 to 255 with ImageNet's mean taken off, over its deviation.

    Each channel has its own; images that are not RGB get the average of the three.
    """
    pairs = list(zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True))
    if x.shape[CHANNEL_AXIS] != len(pairs):
        pairs = [(sum(IMAGENET_MEAN) / 3, sum(IMAGENET_DEVIATION) / 3)] * x.shape[CHANNEL_AXIS]
    scale = [1 / (255 * deviation) for _, deviation in pairs]
    return normalize(x, scale, [-mean / deviation for mean, deviation in pairs])


def center(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return pixels 0 to 255 with ImageNet's mean color taken off; see `standardize`."""
    means = list(IMAGENET_MEAN_COLOR)
    if x.shape[CHANNEL_AXIS] != len(means):
        means = [sum(means) / 3] * x.shape[CHANNEL_AXIS]
    return normalize(x, 1.0, [-mean for mean in means])


def conv_unit(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    epsilon: float = 1e-3,
    padding: int | None = None,
    initializer: str = "glorot_uniform",
) -> keras.KerasTensor:
    """Convolution without bias, batch normalization, activation.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        filters: Number of output channels.
        kernel_size: Side of the square kernel.
        name: Prefix of the layers: NAME_pad, NAME_conv, NAME_bn, NAME_activation.
        strides: Step in both directions.
        activation: A Keras activation, or None for a linear unit.
        epsilon: Epsilon of the batch normalization.
        padding: Zeros on each of the four sides; None: ``same``. With a stride the two differ
            where the size is even: ``same`` pads the bottom and the right only.
        initializer: Initializer of the kernel.

    Returns:
        Tensor of shape (batch, ceil(height / strides), ceil(width / strides), filters) under
        ``same``, else of the sizes ``(n + 2 padding - kernel_size) // strides + 1``.
    """
    if padding:
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same" if padding is None else "valid",
        use_bias=False,
        kernel_initializer=initializer,
        name=f"{name}_conv",
    )(x)
    return normalized_activation(x, name, activation, epsilon)


def depthwise_unit(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    activation: str | None = "relu",
    epsilon: float = 1e-3,
) -> keras.KerasTensor:
    """Depthwise convolution without bias, batch normalization, activation; see `conv_unit`."""
    x = layers.DepthwiseConv2D(
        kernel_size, strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    return normalized_activation(x, name, activation, epsilon)


def normalized_activation(
    x: keras.KerasTensor, name: str, activation: str | None, epsilon: float
) -> keras.KerasTensor:
    """Batch normalization over the channels, then the activation."""
    x = layers.BatchNormalization(CHANNEL_AXIS, epsilon=epsilon, name=f"{name}_bn")(x)
    return layers.Activation(activation, name=f"{name}_activation")(x) if activation else x


def conv_relu(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    padding: int | None = None,
    groups: int = 1,
    initializer: str = "glorot_uniform",
) -> keras.KerasTensor:
    """Convolution with bias, and ReLU; see `conv_unit` for the padding."""
    if padding:
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same" if padding is None else "valid",
        groups=groups,
        kernel_initializer=initializer,
        name=name,
    )(x)
    return layers.Activation("relu", name=f"{name}_activation")(x)


def local_response(
    x: keras.KerasTensor, offset: float, scale: float, exponent: float = 0.75
) -> keras.KerasTensor:
    """Divide each channel by its own and its four neighbors' strength.

    ``x / (offset + scale * sum of x^2 over 5 channels) ** exponent``, section 3.3 of Krizhevsky,
    Sutskever and Hinton; in float32 also under mixed precision, whose squares would overflow.
    """
    channels = x.shape[CHANNEL_AXIS]
    squares = ops.square(ops.cast(x, "float32"))
    padded = ops.pad(squares, [(0, 0), (0, 0), (0, 0), (2, 2)])
    sums = padded[..., :channels]  # (batch, height, width, channels)
    for neighbor in range(1, 5):
        sums = ops.add(sums, padded[..., neighbor : neighbor + channels])
    strength = ops.power(ops.add(ops.multiply(sums, scale), offset), exponent)
    return ops.divide(x, ops.cast(strength, x.dtype))


def rooted(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return the square roots of features that are not negative; see `feature_roots`."""
    return ops.sqrt(layers.Rescaling(1.0, ROOT_OFFSET, name="feature_offset")(x))


def dense_head(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    """Dropout and a dense layer that gives logits in float32, also under mixed precision."""
    return classifier(layers.Dropout(dropout, name="dropout")(x), classes)


def wide_head(
    x: keras.KerasTensor, units: int, classes: int, *, dropout_first: bool
) -> keras.KerasTensor:
    """Two dense layers with half of them dropped in training, then `classifier`.

    Args:
        x: (batch, height, width, channels); every place has weights of its own.
        units: Units of each of the two layers; 4,096 in AlexNet and VGG.
        classes: Number of classes.
        dropout_first: Whether the dropout goes before each dense layer, as in AlexNet, or behind
            it, as in VGG.
    """
    x = layers.Flatten(name="flatten")(x)  # (batch, height * width * channels)
    for number in (1, 2):
        dropout = layers.Dropout(0.5, name=f"dropout{number}")
        hidden = layers.Dense(units, "relu", name=f"hidden{number}")
        x = hidden(dropout(x)) if dropout_first else dropout(hidden(x))
    return classifier(x, classes)


def classifier(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """A dense layer that gives logits in float32, also under mixed precision."""
    x = layers.Dense(classes, name="classifier")(x)
    return layers.Activation("linear", dtype="float32", name="logits")(x)  # (batch, classes)


def mirrored_conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    use_bias: bool = True,
) -> keras.KerasTensor:
    """Convolution that sees the image mirrored beyond its edge, so that no edge shows.

    Args:
        x: Tensor of shape (batch, height, width, channels), each side above `kernel_size` // 2.
        filters: Number of output channels.
        kernel_size: Side of the square kernel, odd.
        name: Name of the convolution.
        strides: Step in both directions.
        use_bias: Whether each output channel has an offset.

    Returns:
        Tensor of shape (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    edge = kernel_size // 2
    x = ops.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)], mode="reflect")
    return layers.Conv2D(filters, kernel_size, strides, use_bias=use_bias, name=name)(x)


def instance_normalized(x: keras.KerasTensor, epsilon: float, name: str) -> keras.KerasTensor:
    """Give each channel of each image the mean 0 and the variance 1.

    Ulyanov et al., "Instance Normalization", https://arxiv.org/abs/1607.08022. Without scale and
    shift: those are the caller's.

    Args:
        x: Tensor of shape (batch, height, width, channels).
        epsilon: Added to the variance.
        name: Prefix of two layers that only pass on what was measured over the image, so that
            it can be read, or given: NAME_mean and NAME_variance, (batch, 1, 1, channels).
    """
    # Written out so that OpenVINO sees one operation in it. Sums over an image need float32.
    x = ops.cast(x, "float32")
    mean = layers.Identity(name=f"{name}_mean", dtype="float32")(
        ops.mean(x, axis=(1, 2), keepdims=True)
    )
    centerd = x - mean
    variance = layers.Identity(name=f"{name}_variance", dtype="float32")(
        ops.mean(ops.square(centerd), axis=(1, 2), keepdims=True)
    )
    return centerd / ops.sqrt(variance + epsilon)
