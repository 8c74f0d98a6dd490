"""The loss of YOLOv3, in `keras.ops`.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", https://arxiv.org/abs/1804.02767, as
Darknet computes it: every true box belongs to the anchor, of all heads, whose shape is most like
its own, and to the cell of that head that its center lies in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from cnnkit.architectures.yolo import decode_head
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.losses.boxes import TINY, complete_iou, corners, intersection_over_union

# A prediction that overlaps a true box by more is no background, though another one has the box.
IGNORE_ABOVE = 0.7
# What a complete-IoU loss counts for against the other parts.
COMPLETE_IOU_GAIN = 2.0
BOX_LOSSES = ("yolo", "ciou")


class Truth(NamedTuple):
    """The true boxes of a batch of images, filled up to equally many.

    Attributes:
        boxes: float32 (batch, boxes, 4): center x, center y, width, height, as shares of the
            input's width and height.
        classes: int32 (batch, boxes).
        valid: float32 (batch, boxes): 1 for a box, 0 for what only fills up.
    """

    boxes: Any
    classes: Any
    valid: Any


class LossParts(NamedTuple):
    """The parts of a detector's loss, float32 (batch,) each; their sum is the loss."""

    box: Any
    object: Any
    classes: Any


def yolo_loss(
    outputs: Sequence[Any], heads: Sequence[HeadSpec], truth: Truth, box_loss: str = "yolo"
) -> LossParts:
    """Return the loss of each image, summed over its boxes and cells.

    A true box costs, in the cell and anchor that it belongs to, the binary cross-entropy of the
    center inside the cell and half the squared error of the log sides (or 1 - complete IoU),
    both times 2 less the box's share of the image, and the binary cross-entropy of each class.
    Every prediction costs the binary cross-entropy of its objectness, except those without a box
    that overlap one by more than 0.7.

    Args:
        outputs: The raw heads, (batch, rows, columns, anchors * (5 + classes)) each; see
            `cnnkit.architectures.yolo`.
        heads: What each one is.
        truth: The ground truth boxes.
        box_loss: ``yolo`` or ``ciou``.
    """
    anchors = ops.convert_to_tensor([pair for head in heads for pair in head.anchors], "float32")
    rows, columns = ops.shape(outputs[0])[1:3]
    sides = ops.cast(ops.stack([columns, rows]) * heads[0].stride, "float32")  # width, height
    pixels = truth.boxes * ops.concatenate([sides, sides])  # (batch, boxes, 4)
    best = ops.argmax(_shape_overlap(pixels[..., 2:], anchors), axis=-1)  # (batch, boxes)
    parts, first = [], 0
    for raw, head in zip(outputs, heads, strict=True):
        inside = ops.logical_and(best >= first, best < first + len(head.anchors))
        mine = ops.cast(inside, "float32") * truth.valid
        anchor = ops.clip(best - first, 0, len(head.anchors) - 1)
        parts.append(_head_loss(raw, head, pixels, truth, mine, anchor, sides, box_loss))
        first += len(head.anchors)
    return LossParts(*(sum(values) for values in zip(*parts, strict=True)))


def _head_loss(
    raw: Any,
    head: HeadSpec,
    pixels: Any,
    truth: Truth,
    mine: Any,
    anchor: Any,
    sides: Any,
    box_loss: str,
) -> LossParts:
    """Return the loss of one head.

    Args:
        raw: Its output.
        head: What it is.
        pixels: The true boxes in pixels of the input (batch, boxes, 4).
        truth: The ground truth boxes.
        mine: 1 where a true box belongs to this head (batch, boxes).
        anchor: The anchor of this head that it belongs to (batch, boxes).
        sides: Width and height of the input.
        box_loss: ``yolo`` or ``ciou``.
    """
    count = len(head.anchors)
    batch, rows, columns = ops.shape(raw)[:3]
    cells = rows * columns * count
    width = raw.shape[-1] // count
    decoded, objects, _ = decode_head(raw, head.anchors, head.stride)
    decoded = ops.reshape(decoded, (batch, cells, 4))
    objects = ops.reshape(objects, (batch, cells))
    column = ops.clip(ops.cast(pixels[..., 0] // head.stride, "int32"), 0, columns - 1)
    row = ops.clip(ops.cast(pixels[..., 1] // head.stride, "int32"), 0, rows - 1)
    place = (row * columns + column) * count + ops.cast(anchor, "int32")  # (batch, boxes)

    flat = place + ops.arange(batch)[:, None] * cells
    logits = ops.take(ops.reshape(raw, (batch * cells, width)), flat, axis=0)
    classes = _binary(logits[..., 5:], ops.one_hot(truth.classes, width - 5))
    if box_loss == "ciou":
        found = ops.take(ops.reshape(decoded, (batch * cells, 4)), flat, axis=0)
        box = COMPLETE_IOU_GAIN * (1 - complete_iou(found, corners(pixels)))
    else:
        cell = ops.cast(ops.stack([column, row], axis=-1), "float32")
        sizes = ops.take(ops.convert_to_tensor(head.anchors, "float32"), anchor, axis=0)
        box = _box_loss(logits, pixels, cell, sizes, head.stride)
    share = truth.boxes[..., 2] * truth.boxes[..., 3]

    taken = ops.equal(place[..., None], ops.arange(cells))  # (batch, boxes, cells)
    taken = ops.logical_and(taken, mine[..., None] > 0)
    positive = ops.cast(ops.any(taken, axis=1), "float32")  # (batch, cells)
    real = corners(pixels) * truth.valid[..., None]
    overlap = intersection_over_union(decoded[:, :, None], real[:, None])  # (batch, cells, boxes)
    near = ops.cast(ops.max(overlap, axis=-1) > IGNORE_ABOVE, "float32")
    counts = ops.stop_gradient(ops.maximum(positive, 1 - near))
    return LossParts(
        ops.sum(mine * (2 - share) * box, axis=1),
        ops.sum(counts * _binary(objects, positive), axis=1),
        ops.sum(mine * ops.sum(classes, axis=-1), axis=1),
    )


def _box_loss(logits: Any, pixels: Any, cell: Any, sizes: Any, stride: int) -> Any:
    """Return what center and sides of each true box cost, (batch, boxes)."""
    center = ops.sum(_binary(logits[..., :2], pixels[..., :2] / stride - cell), axis=-1)
    wanted = ops.log(ops.maximum(pixels[..., 2:], TINY) / sizes)
    wanted = ops.clip(wanted, -10.0, 10.0)
    return center + ops.sum((wanted - logits[..., 2:4]) ** 2, axis=-1) / 2


def _shape_overlap(sizes: Any, anchors: Any) -> Any:
    """Return the IoU of sizes (..., 2) and anchors (n, 2) around one center, (..., n)."""
    common = ops.prod(ops.minimum(sizes[..., None, :], anchors), axis=-1)
    union = ops.prod(sizes, axis=-1)[..., None] + ops.prod(anchors, axis=-1) - common
    return common / (union + TINY)


def _binary(logits: Any, targets: Any) -> Any:
    """Return the binary cross-entropy of logits in nats, elementwise."""
    return ops.softplus(logits) - logits * targets
