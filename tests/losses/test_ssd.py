"""SSD's matching and loss against a plain twin in loops."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnkit.boxes import cxcywh_to_xyxy, iou
from cnnkit.losses.ssd import match, ssd_loss
from cnnkit.losses.yolo import Truth

CLASSES = 2


def random_case(seed: int):
    random = np.random.default_rng(seed)
    batch, most, count = 3, 3, 30
    defaults = np.concatenate(
        [random.random((count, 2)), random.uniform(0.1, 0.6, (count, 2))], -1
    ).astype(np.float32)
    boxes = np.concatenate(
        [random.random((batch, most, 2)), random.uniform(0.1, 0.6, (batch, most, 2))], -1
    ).astype(np.float32)
    valid = (np.arange(most) < np.array([[0], [2], [3]])).astype(np.float32)
    classes = random.integers(0, CLASSES, (batch, most)).astype(np.int32)
    offsets = random.normal(0, 1, (batch, count, 4)).astype(np.float32)
    logits = random.normal(0, 2, (batch, count, 1 + CLASSES)).astype(np.float32)
    return offsets, logits, defaults, Truth(boxes, classes, valid)


def matched(defaults, truth: Truth, b: int) -> dict[int, int]:
    """Return default box to true box of one image."""
    real = [n for n in range(truth.boxes.shape[1]) if truth.valid[b, n]]
    table = {
        n: iou(cxcywh_to_xyxy(defaults), cxcywh_to_xyxy(truth.boxes[b, n])[None]) for n in real
    }
    found = {}
    for d in range(len(defaults)):
        best = max(real, key=lambda n: table[n][d], default=None)
        if best is not None and table[best][d] >= 0.5:
            found[d] = best
    for n in reversed(real):  # of two claims the first true box wins
        found[int(np.argmax(table[n]))] = n
    return found


def twin(offsets, logits, defaults, truth: Truth) -> np.ndarray:
    result = np.zeros((len(offsets), 3))
    matches = [matched(defaults, truth, b) for b in range(len(offsets))]
    for b, found in enumerate(matches):
        shares = np.exp(logits[b].astype(np.float64))
        shares /= shares.sum(-1, keepdims=True)
        for d, n in found.items():
            box, default = truth.boxes[b, n], defaults[d]
            wanted = [*((box[:2] - default[:2]) / default[2:] / 0.1)]
            wanted += [*(np.log(box[2:] / default[2:]) / 0.2)]
            error = np.abs(offsets[b, d] - wanted)
            result[b, 0] += np.where(error < 1, error**2 / 2, error - 0.5).sum()
            result[b, 2] -= np.log(shares[d, truth.classes[b, n] + 1])
        others = sorted(-np.log(shares[d, 0]) for d in range(len(defaults)) if d not in found)
        result[b, 1] = sum(others[::-1][: 3 * max(1, len(found))])
    return result / max(1, np.mean([len(found) for found in matches]))


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_that_of_the_plain_twin(seed: int) -> None:
    case = random_case(seed)
    parts = ssd_loss(*case)
    ours = np.stack([keras.ops.convert_to_numpy(part) for part in parts], -1)
    np.testing.assert_allclose(ours, twin(*case), rtol=1e-4, atol=1e-5)


def test_every_true_box_has_a_default_box() -> None:
    defaults = np.array([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]], np.float32)
    boxes = np.array([[[0.75, 0.7, 0.05, 0.05]]], np.float32)
    truth = Truth(boxes, np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    best, positive = match(defaults, truth)
    assert keras.ops.convert_to_numpy(positive).tolist() == [[0, 1]]
    assert keras.ops.convert_to_numpy(best)[0, 1] == 0
