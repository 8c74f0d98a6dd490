"""MTCNN: three small networks that find faces, each stricter than the one before.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using Multi-task Cascaded
Convolutional Networks", https://arxiv.org/abs/1604.02878. The proposal network looks at every
place of an image at several sizes, the refinement network at what is left in 24x24 pixels, the
output network in 48x48, with five landmarks.

Coordinates are in the order x before y. The networks were trained on images turned over their
diagonal; the trained kernels were turned back, but the first dense layers still count the map's
columns before its rows, so a permutation stands before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from cnnkit.architectures import blocks

# Convolutions of a stage: filters, side of the kernel, and the pooling behind it.
PROPOSAL = ((10, 3, (2, "same")), (16, 3, None), (32, 3, None))
REFINEMENT = ((28, 3, (3, "same")), (48, 3, (3, "valid")), (64, 2, None))
OUTPUT = ((32, 3, (3, "same")), (64, 3, (3, "valid")), (64, 3, (2, "same")), (128, 2, None))
REFINEMENT_SIDE = 24
OUTPUT_SIDE = 48
LANDMARKS = 5


def convolutions(
    x: keras.KerasTensor, plan: Sequence[tuple[int, int, tuple[int, str] | None]]
) -> keras.KerasTensor:
    """Normalize, then convolve without padding, each with a slope per channel, and pool by two."""
    x = blocks.normalize(x, 1 / 128, -127.5 / 128)
    for number, (filters, kernel_size, pooling) in enumerate(plan, start=1):
        x = layers.Conv2D(filters, kernel_size, name=f"conv{number}")(x)
        x = layers.PReLU(shared_axes=[1, 2], name=f"slope{number}")(x)
        if pooling:
            size, padding = pooling
            x = layers.MaxPooling2D(size, 2, padding=padding, name=f"pool{number}")(x)
    return x


def hidden(x: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """Flatten a map column by column, then a dense layer with a slope per unit: (batch, units)."""
    x = layers.Permute((2, 1, 3), name="permute")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, name="hidden")(x)
    return layers.PReLU(name="hidden_slope")(x)


def face_outputs(
    scores: keras.KerasTensor, offsets: keras.KerasTensor, **more: keras.KerasTensor
) -> dict[str, keras.KerasTensor]:
    """Return the outputs by name, in float32 also under mixed precision; the scores softmaxed."""
    outputs = {"scores": layers.Activation("softmax", dtype="float32", name="scores")(scores)}
    for name, tensor in {"offsets": offsets, **more}.items():
        outputs[name] = layers.Activation("linear", dtype="float32", name=name)(tensor)
    return outputs


def mtcnn_proposal() -> keras.Model:
    """Build the proposal network (P-Net), 6,632 parameters.

    Returns:
        A functional model over images of any size from 12x12 up, with the outputs
        ``scores`` (batch, rows, columns, 2), probabilities of no face and of a face,
        and ``offsets`` (batch, rows, columns, 4), how far each edge (left, top, right,
        bottom) lies from that of the cell's window, in sides of the window. A cell's window is
        12x12 pixels, and the next one begins 2 pixels further.
    """
    image = blocks.rgb_input((None, None, 3))
    x = convolutions(image, PROPOSAL)
    scores = layers.Conv2D(2, 1, name="classifier")(x)
    offsets = layers.Conv2D(4, 1, name="regressor")(x)
    return keras.Model(image, face_outputs(scores, offsets), name="mtcnn_proposal")


def mtcnn_refinement() -> keras.Model:
    """Build the refinement network (R-Net), 100,178 parameters.

    Returns:
        A functional model over 24x24 pixels, with the outputs ``scores`` (batch, 2)
        and ``offsets`` (batch, 4), as those of `mtcnn_proposal`.
    """
    image = blocks.rgb_input((REFINEMENT_SIDE, REFINEMENT_SIDE, 3))
    x = hidden(convolutions(image, REFINEMENT), 128)
    scores = layers.Dense(2, name="classifier")(x)
    offsets = layers.Dense(4, name="regressor")(x)
    return keras.Model(image, face_outputs(scores, offsets), name="mtcnn_refinement")


def mtcnn_output() -> keras.Model:
    """Build the output network (O-Net), 389,040 parameters.

    Returns:
        A functional model over 48x48 pixels, with the outputs ``scores`` (batch, 2) and
        ``offsets`` (batch, 4), as those of `mtcnn_proposal`, and ``landmarks``
        (batch, 10): five x, then five y, in sides of the window: the eye on the left as one
        looks at the image, the one on the right, the nose, the left and the right corner of
        the mouth.
    """
    image = blocks.rgb_input((OUTPUT_SIDE, OUTPUT_SIDE, 3))
    x = hidden(convolutions(image, OUTPUT), 256)
    scores = layers.Dense(2, name="classifier")(x)
    offsets = layers.Dense(4, name="regressor")(x)
    landmarks = layers.Dense(2 * LANDMARKS, name="landmark_regressor")(x)
    outputs = face_outputs(scores, offsets, landmarks=landmarks)
    return keras.Model(image, outputs, name="mtcnn_output")
