"""The loss of one class and one box an image, in `keras.ops`."""

from __future__ import annotations

from typing import Any

from keras import ops

from cnnkit.losses.boxes import complete_iou, corners
from cnnkit.losses.yolo import LossParts, Truth

BOX_GAIN = 4.0


def localization_loss(logits: Any, box: Any, truth: Truth) -> LossParts:
    """Return the loss of each image: cross-entropy of the class, 1 - complete IoU of the box.

    The largest box of an image is the one that counts; an image without a box costs nothing.

    Args:
        logits: Class logits, (batch, classes).
        box: Logits of center x, center y, width, height as shares (batch, 4).
        truth: The ground truth boxes.
    """
    areas = truth.boxes[..., 2] * truth.boxes[..., 3] * truth.valid
    place = ops.argmax(areas, axis=1)
    batch, most = ops.shape(truth.boxes)[:2]
    flat = place + ops.cast(ops.arange(batch) * most, place.dtype)
    there = ops.max(truth.valid, axis=1)
    wanted = ops.take(ops.reshape(truth.boxes, (batch * most, 4)), flat, axis=0)
    label = ops.take(ops.reshape(truth.classes, (batch * most,)), flat, axis=0)
    overlap = complete_iou(corners(ops.sigmoid(box)), corners(wanted))
    right = ops.one_hot(label, logits.shape[-1])
    cost = -ops.sum(right * ops.log_softmax(logits, axis=-1), axis=-1)
    return LossParts(BOX_GAIN * there * (1 - overlap), 0.0 * there, there * cost)
