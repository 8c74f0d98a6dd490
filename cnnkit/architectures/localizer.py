"""Classification with localization: one class and one box an image, the smallest detector."""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks
from cnnkit.architectures.efficientnet import stage_outputs

NECK_FILTERS = 96
HIDDEN = 256


def localizer_lite0(
    input_shape: tuple[int, int, int] | None = None, classes: int = 10
) -> keras.Model:
    """Build a head for class and box on EfficientNet-Lite0.

    Where the thing is, pooled features no longer say: the head looks at the map of the last
    stage.

    Args:
        input_shape: Height, width and channels; (224, 224, 3) by default.
        classes: Number of classes, from 1 up.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to a dict:
        ``classes``, logits (batch, classes), and ``box`` (batch, 4): logits of center x, center
        y, width and height as shares of the input.
    """
    # === Layers ===
    image = blocks.rgb_input(input_shape or (224, 224, 3))
    x = stage_outputs(image, "efficientnet_lite0")[-1]
    x = layers.Conv2D(NECK_FILTERS, 1, activation="relu6", name="neck")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(HIDDEN, activation="relu", name="hidden")(x)
    scores = layers.Dense(classes, name="head_classes")(x)
    box = layers.Dense(4, name="head_box")(x)
    outputs = {
        "classes": layers.Activation("linear", dtype="float32", name="classes")(scores),
        "box": layers.Activation("linear", dtype="float32", name="box")(box),
    }
    # === Model ===
    return keras.Model(image, outputs, name="localizer_lite0")
