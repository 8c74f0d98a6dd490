"""The loss of YOLOv3 against a plain twin in loops."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from cnnkit.boxes import complete_iou, iou
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.losses import boxes as overlap
from cnnkit.losses.yolo import COMPLETE_IOU_GAIN, Truth, yolo_loss

HEADS = (
    HeadSpec("stride32", 32, ((81, 82), (135, 169), (344, 319))),
    HeadSpec("stride16", 16, ((10, 14), (23, 27), (37, 58))),
)
CLASSES = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def binary(logit, target):
    p = sigmoid(np.float64(logit))
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


def random_case(seed: int, height: int = 96, width: int = 128):
    random = np.random.default_rng(seed)
    batch, most = 3, 4
    outputs = [
        random.normal(0, 1, (batch, height // h.stride, width // h.stride, 3 * (5 + CLASSES)))
        for h in HEADS
    ]
    sides = np.exp(random.uniform(math.log(0.05), math.log(0.9), (batch, most, 2)))
    centers = sides / 2 + random.random((batch, most, 2)) * (1 - sides)
    boxes = np.concatenate([centers, sides], -1).astype(np.float32)
    classes = random.integers(0, CLASSES, (batch, most)).astype(np.int32)
    valid = (np.arange(most) < random.integers(0, most + 1, (batch, 1))).astype(np.float32)
    return [x.astype(np.float32) for x in outputs], Truth(boxes, classes, valid)


def twin(outputs, truth: Truth, box_loss: str) -> np.ndarray:
    """Return (batch, 3): box, object, classes, a cell and a box at a time."""
    rows, columns = outputs[0].shape[1:3]
    sides = np.array([columns, rows]) * HEADS[0].stride
    result = np.zeros((len(truth.boxes), 3))
    anchors = [(h, a) for h, head in enumerate(HEADS) for a in range(len(head.anchors))]
    for b in range(len(truth.boxes)):
        real = [n for n in range(truth.boxes.shape[1]) if truth.valid[b, n]]
        pixels = truth.boxes[b].astype(np.float64) * np.tile(sides, 2)
        corners = np.concatenate(
            [pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, :2] + pixels[:, 2:] / 2], -1
        )
        decoded, positive = {}, set()
        for h, head in enumerate(HEADS):
            raw = outputs[h][b].astype(np.float64)
            for y, x, a in np.ndindex(*raw.shape[:2], len(head.anchors)):
                t = raw[y, x].reshape(len(head.anchors), -1)[a]
                cx, cy = (x + sigmoid(t[0])) * head.stride, (y + sigmoid(t[1])) * head.stride
                w, h2 = np.exp(t[2:4]) * head.anchors[a]
                decoded[h, y, x, a] = (
                    t,
                    np.array([cx - w / 2, cy - h2 / 2, cx + w / 2, cy + h2 / 2]),
                )
        for n in real:
            cx, cy, w, h2 = pixels[n]
            fits = [
                min(w, HEADS[i].anchors[a][0])
                * min(h2, HEADS[i].anchors[a][1])
                / (
                    w * h2
                    + np.prod(HEADS[i].anchors[a])
                    - min(w, HEADS[i].anchors[a][0]) * min(h2, HEADS[i].anchors[a][1])
                )
                for i, a in anchors
            ]
            i, a = anchors[int(np.argmax(fits))]
            stride = HEADS[i].stride
            x, y = int(cx // stride), int(cy // stride)
            t, box = decoded[i, y, x, a]
            positive.add((i, y, x, a))
            scale = 2 - truth.boxes[b, n, 2] * truth.boxes[b, n, 3]
            if box_loss == "ciou":
                cost = COMPLETE_IOU_GAIN * (1 - complete_iou(box, corners[n]))
            else:
                cost = binary(t[0], cx / stride - x) + binary(t[1], cy / stride - y)
                wanted = np.log([w, h2]) - np.log(HEADS[i].anchors[a])
                cost += ((wanted - t[2:4]) ** 2).sum() / 2
            result[b, 0] += scale * cost
            result[b, 2] += sum(binary(t[5 + c], c == truth.classes[b, n]) for c in range(CLASSES))
        for key, (t, box) in decoded.items():
            near = any(iou(box, corners[n]) > 0.7 for n in real)
            if key in positive or not near:
                result[b, 1] += binary(t[4], key in positive)
    return result


@pytest.mark.parametrize("box_loss", ["yolo", "ciou"])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_the_plain_twin(seed: int, box_loss: str) -> None:
    outputs, truth = random_case(seed)
    parts = yolo_loss([keras.ops.convert_to_tensor(x) for x in outputs], HEADS, truth, box_loss)
    ours = np.stack([keras.ops.convert_to_numpy(part) for part in parts], -1)
    np.testing.assert_allclose(ours, twin(outputs, truth, box_loss), rtol=2e-4, atol=1e-4)


def test_predictions_near_a_box_are_no_background() -> None:
    """A head whose every cell of one anchor predicts the very box costs only at its cell."""
    outputs, _ = random_case(0, 64, 64)
    for x in outputs:
        x[:] = -20.0
    boxes = np.array([[[0.25, 0.25, 135 / 64, 169 / 64]]], np.float32)
    truth = Truth(boxes, np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    raw = [x[:1] for x in outputs]
    first = raw[0].reshape(1, 2, 2, 3, -1)
    first[0, :, :, 1, :4] = 0
    first[0, :, :, 1, 4] = 3.0
    parts = yolo_loss([keras.ops.convert_to_tensor(x) for x in raw], HEADS, truth)
    value = float(parts.object[0])
    boxes_of_cells = [
        [x * 32 + 16 - 67.5, y * 32 + 16 - 84.5, x * 32 + 16 + 67.5, y * 32 + 16 + 84.5]
        for x in (0, 1)
        for y in (0, 1)
    ]
    real = np.array([16 - 67.5, 16 - 84.5, 16 + 67.5, 16 + 84.5])
    background = sum(iou(np.array(b), real) <= 0.7 for b in boxes_of_cells)
    assert value == pytest.approx(binary(3.0, 1) + background * binary(3.0, 0), abs=1e-3)


def test_complete_iou_is_that_of_numpy() -> None:
    random = np.random.default_rng(1)
    first, second = random.uniform(0, 50, (2, 40, 4))
    first[:, 2:] += first[:, :2] + 1
    second[:, 2:] += second[:, :2] + 1
    ours = overlap.complete_iou(first.astype("float32"), second.astype("float32"))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours), complete_iou(first, second), atol=1e-5
    )
