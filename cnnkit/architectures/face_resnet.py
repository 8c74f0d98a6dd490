"""The residual network of dlib that describes a face by 128 numbers.

King, "High Quality Face Recognition with Deep Metric Learning" (dlib blog, 2017): ResNet-34 of
He et al., https://arxiv.org/abs/1512.03385, with fewer layers and half of the filters. Its
normalizations are folded into the convolutions, as they are once a network is trained.
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks

# Stages: filters, and how many plain blocks follow the one that halves the size.
STAGES = ((32, 3), (64, 3), (128, 2), (256, 2))
SIDE = 150
DESCRIPTION = 128
# The mean color of the training images, red, green, blue.
MEAN = (122.782, 117.001, 104.298)


def conv(
    x: keras.KerasTensor, filters: int, name: str, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """Convolve 3x3 with bias."""
    return layers.Conv2D(filters, 3, strides, padding=padding, name=name)(x)


def residual(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Add two convolutions to their input, and rectify."""
    y = conv(x, filters, f"{name}_conv1")  # (batch, height, width, filters)
    y = layers.Activation("relu", name=f"{name}_activation1")(y)
    y = conv(y, filters, f"{name}_conv2")
    y = layers.Add(name=f"{name}_add")([y, x])
    return layers.Activation("relu", name=f"{name}_activation2")(y)


def residual_down(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Halve the size: two convolutions, the first with stride 2, beside an average pooling.

    Neither path is padded, so one may come out a row and a column smaller: zeros are put below
    it and on its right. Where the filters double, the missing channels of the pooling are zeros.

    Returns:
        Tensor of shape (batch, height // 2, width // 2, filters).
    """
    y = conv(x, filters, f"{name}_conv1", strides=2, padding="valid")
    y = layers.Activation("relu", name=f"{name}_activation1")(y)
    y = conv(y, filters, f"{name}_conv2")
    x = layers.AveragePooling2D(2, 2, name=f"{name}_pool")(x)
    if x.shape[-1] < filters:
        zeros = layers.Rescaling(0.0, name=f"{name}_zeros")(x)
        x = layers.Concatenate(name=f"{name}_widen")([x, zeros])
    missing = (x.shape[1] - y.shape[1], x.shape[2] - y.shape[2])
    if any(missing):
        pad = ((0, missing[0]), (0, missing[1]))
        y = layers.ZeroPadding2D(pad, name=f"{name}_pad")(y)
    y = layers.Add(name=f"{name}_add")([y, x])
    return layers.Activation("relu", name=f"{name}_activation2")(y)


def face_resnet_v1(input_shape: tuple[int, int, int] | None = None) -> keras.Model:
    """Build dlib's face network, 5,607,488 parameters.

    Args:
        input_shape: Height, width and 3; (150, 150, 3) by default.

    Returns:
        A functional model over RGB pixels 0 to 255 of one aligned face, float32 (batch, height,
        width, 3), to its description, float32 (batch, 128): the Euclidean distance of two of
        them is below 0.6 for most images of one person. They are not of unit length.
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (SIDE, SIDE, 3))
    x = blocks.normalize(image, 1 / 256, [-mean / 256 for mean in MEAN])
    x = layers.Conv2D(32, 7, 2, name="stem_conv")(x)  # (batch, 72, 72, 32)
    x = layers.Activation("relu", name="stem_activation")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)  # (batch, 35, 35, 32)
    for number, (filters, repeats) in enumerate(STAGES, start=1):
        if number > 1:
            x = residual_down(x, filters, f"stage{number}_down")
        for block in range(1, repeats + 1):
            x = residual(x, filters, f"stage{number}_block{block}")
    x = residual_down(x, STAGES[-1][0], "stage5_down")  # (batch, 2, 2, 256)
    x = layers.GlobalAveragePooling2D(name="features")(x)  # (batch, 256)
    x = layers.Dense(DESCRIPTION, use_bias=False, name="description")(x)
    x = layers.Activation("linear", dtype="float32", name="embedding")(x)  # (batch, 128)
    # === Model ===
    return keras.Model(image, x, name="face_resnet_v1")
