"""LeNet-5 as it was published in 1998: trained poolings, partly connected maps, fixed codes.

LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the
IEEE 86 (1998), section II.B, with exactly 60,000 trained parameters. Its output layer compares
84 numbers with a fixed code of -1 and 1 for each class; the paper draws the codes as images of
the characters, here they are drawn by chance, once and for all, so that there are any number.
"""

from __future__ import annotations

import random

import keras
from keras import initializers, layers, ops

from cnnkit.architectures import blocks

# Which maps of the first pooling each of the 16 filters of the third layer sees: table I.
NEIGHBORING_THREE = tuple(tuple((first + n) % 6 for n in range(3)) for first in range(6))
FOUR = (
    *(tuple((first + n) % 6 for n in range(4)) for first in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
)
ALL_SIX = ((0, 1, 2, 3, 4, 5),)
CODE_LENGTH = 84
SMALLEST = 32  # the last convolution needs a 5x5 map


def squash(x: keras.KerasTensor) -> keras.KerasTensor:
    """The paper's ``1.7159 tanh(2/3 x)``, about 1 at 1 and -1 at -1."""
    return ops.multiply(ops.tanh(ops.multiply(x, 2 / 3)), 1.7159)


def trained_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Average each 2x2, then a coefficient and a bias for each map, then squash."""
    x = layers.AveragePooling2D(2, name=name)(x)
    return squash(layers.DepthwiseConv2D(1, name=f"{name}_scale")(x))


def partial_convolution(
    x: keras.KerasTensor, tables: tuple[tuple[int, ...], ...], name: str
) -> keras.KerasTensor:
    """Convolve 5x5, each filter over its own choice of maps.

    Args:
        x: Maps (batch, height, width, 6).
        tables: The maps that each filter sees, equally many.
        name: Name of the layer.

    Returns:
        Tensor of shape (batch, height - 4, width - 4, len(tables)).
    """
    chosen = [number for table in tables for number in table]
    maps = layers.Concatenate(name=f"{name}_maps")([x[..., n : n + 1] for n in chosen])
    return layers.Conv2D(len(tables), 5, groups=len(tables), name=name)(maps)


def codes(classes: int) -> list[list[float]]:
    """Return the code of each class as a column, -1 or 1, (84, classes): the same every time."""
    columns = []
    for index in range(classes):
        draw = random.Random(index)
        columns.append([1.0 if draw.random() < 0.5 else -1.0 for _ in range(CODE_LENGTH)])
    return [list(row) for row in zip(*columns, strict=True)]


def code_distances(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Return minus the squared distance to each class's code: ``2 x w - |x|^2 - 84``."""
    fixed = layers.Dense(
        classes,
        use_bias=False,
        kernel_initializer=initializers.Constant(codes(classes)),
        trainable=False,
        name="codes",
    )
    # In float32 also under mixed precision: a difference of large numbers.
    products, exact = ops.cast(fixed(x), "float32"), ops.cast(x, "float32")
    lengths = ops.add(ops.sum(ops.square(exact), axis=-1, keepdims=True), float(CODE_LENGTH))
    return ops.subtract(ops.multiply(products, 2.0), lengths)  # (batch, classes)


def lenet_5_1998(
    input_shape: tuple[int, int, int] | None = None,
    classes: int = 10,
    include_top: bool = True,
) -> keras.Model:
    """Build the LeNet-5 of 1998, 60,000 trained parameters over gray images of 32x32.

    Args:
        input_shape: Height and width, at least 32, and channels; (32, 32, 1) by default. They
            are fixed: the last convolution sees every place.
        classes: Number of classes of the top, whose codes are not trained.
        include_top: Whether to end in logits (batch, classes), minus the squared distances to
            the codes; otherwise in what is compared with them (batch, 84).

    Returns:
        A functional model over pixels 0 to 255, float32 (batch, height, width, channels).

    Raises:
        ValueError: The image is too small.
    """
    shape = input_shape or (32, 32, 1)
    if min(shape[:2]) < SMALLEST:
        rule = f"`input_shape` must be at least {SMALLEST}x{SMALLEST}"
        raise ValueError(f"{rule}. Received: input_shape={shape}.")
    # === Layers ===
    image = blocks.rgb_input(shape)
    # A white ground is -0.1 and black ink 1.175 in the paper; here 255 is 1.175.
    x = blocks.normalize(image, 1.275 / 255, -0.1)
    x = squash(layers.Conv2D(6, 5, name="conv1")(x))  # (batch, 28, 28, 6) from 32x32
    x = trained_pool(x, "pool1")  # (batch, 14, 14, 6)
    parts = {"three": NEIGHBORING_THREE, "four": FOUR, "six": ALL_SIX}
    maps = [partial_convolution(x, tables, f"conv2_{part}") for part, tables in parts.items()]
    x = squash(layers.Concatenate(name="conv2")(maps))  # (batch, 10, 10, 16)
    x = trained_pool(x, "pool2")  # (batch, 5, 5, 16)
    x = layers.Flatten(name="flatten")(x)
    x = squash(layers.Dense(120, name="hidden1")(x))  # the paper's C5: all of a 5x5 map
    x = squash(layers.Dense(CODE_LENGTH, name="hidden2")(x))
    x = layers.Activation("linear", name="features")(x)  # (batch, 84)
    if include_top:
        x = code_distances(x, classes)
        x = layers.Activation("linear", dtype="float32", name="logits")(x)  # (batch, classes)
    # === Model ===
    return keras.Model(image, x, name="lenet_5_1998")
