"""YuNet: a very small one-stage face detector without anchors.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
20 (2023), https://doi.org/10.1007/s11633-023-1423-y. Every convolution but the first is a
pointwise one followed by a depthwise one; a top-down neck without other weights feeds three heads.

What comes out of a head is raw: for an input of height x width and a head of stride s the tensor
``strideS`` has the shape (batch, height / s, width / s, 16). Of the cell in column c and row r, the
channels are

    class, object   two logits; the score is sqrt(sigmoid(class) * sigmoid(object))
    x, y            center of the box at ((c + x) * s, (r + y) * s)
    w, h            size of the box, exp(w) * s by exp(h) * s
    x1, y1 ... y5   the landmarks at ((c + x1) * s, (r + y1) * s) and so on: the eye on the left
                    as one looks at the image, the one on the right, the nose, the left and the
                    right corner of the mouth

in pixels of the input, as OpenCV's FaceDetectorYN decodes them (modules/objdetect/src/
face_detect.cpp).
"""

from __future__ import annotations

import keras
from keras import layers

from cnnkit.architectures import blocks
from cnnkit.architectures.yolo import output_name

STRIDES = (8, 16, 32)
LARGEST_STRIDE = 32
LANDMARKS = 5
HEAD_CHANNELS = 2 + 4 + 2 * LANDMARKS
STEM_FILTERS = 16
NECK_FILTERS = 64
# Filters of the units of each stage; the stages in `POOLED` end in a pooling by two.
STAGES = {0: (16,), 1: (16, 32), 2: (32, 64), 3: (64, 64), 4: (64, 64), 5: (64, 64)}
POOLED = (0, 2, 3, 4)
# The stages that the neck reads, one for each of STRIDES.
READ_STAGES = (3, 4, 5)


def separable_unit(
    x: keras.KerasTensor, filters: int, name: str, activation: bool = True
) -> keras.KerasTensor:
    """Pointwise convolution, depthwise convolution 3 x 3, both with bias, and ReLU.

    Nothing stands between the two convolutions. The layers are NAME_pointwise, NAME_depthwise and
    NAME_activation.
    """
    x = layers.Conv2D(filters, 1, name=f"{name}_pointwise")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(x)
    return layers.ReLU(name=f"{name}_activation")(x) if activation else x


def _neck(features: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Mix three maps, finest first: each gets what the coarser ones say."""
    mixed: list[keras.KerasTensor] = []
    for stride, x in zip(reversed(STRIDES), reversed(features), strict=True):
        if mixed:
            coarser = layers.UpSampling2D(2, name=f"up{stride}")(mixed[0])
            x = layers.Add(name=f"add{stride}")([x, coarser])
        mixed.insert(0, separable_unit(x, NECK_FILTERS, f"neck{stride}"))
    return mixed


def _head(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """The raw output in float32, also under mixed precision."""
    x = separable_unit(x, HEAD_CHANNELS, f"head{stride}", activation=False)
    return layers.Activation("linear", dtype="float32", name=output_name(stride))(x)


def yunet(input_shape: tuple[int | None, int | None, int] | None = None) -> keras.Model:
    """Build YuNet, 53,104 parameters.

    Args:
        input_shape: Height, width and channels; each side a multiple of 32, or None for any
            such. (None, None, 3) by default.

    Returns:
        A functional model from RGB pixels 0 to 255, float32 (batch, height, width, 3), to a
        dict of raw heads: ``stride8`` (batch, height / 8, width / 8, `HEAD_CHANNELS`) and so on,
        see the module.

    Raises:
        ValueError: A side is no multiple of 32.
    """
    shape = input_shape or (None, None, 3)
    if any(side is not None and side % LARGEST_STRIDE for side in shape[:2]):
        raise ValueError(
            f"`input_shape` must have sides that are multiples of {LARGEST_STRIDE}. "
            f"Received: {shape}."
        )
    # === Layers ===
    image = blocks.rgb_input(shape)
    x = blocks.conv_relu(image, STEM_FILTERS, 3, "stem", strides=2, padding=1)
    done = {}
    for number, units in STAGES.items():
        for unit, filters in enumerate(units, start=1):
            x = separable_unit(x, filters, f"stage{number}_unit{unit}")
        done[number] = x
        if number in POOLED:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    mixed = _neck([done[number] for number in READ_STAGES])
    heads = {
        output_name(stride): _head(x, stride) for stride, x in zip(STRIDES, mixed, strict=True)
    }
    # === Model ===
    return keras.Model(image, heads, name="yunet")
