"""NanoDet's loss and its parts: by hand, and against plain twins in loops."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from cnnkit.architectures.nanodet import BINS
from cnnkit.boxes import generalized_iou
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.losses import boxes as overlap
from cnnkit.losses.assignment import task_aligned
from cnnkit.losses.nanodet import FARTHEST, distribution_focal, nanodet_loss, quality_focal
from cnnkit.losses.yolo import Truth

HEADS = (HeadSpec("stride8", 8), HeadSpec("stride16", 16), HeadSpec("stride32", 32))
CLASSES = 2


def numpy(value) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_quality_focal_by_hand() -> None:
    logits = np.float32([0, 0, math.log(3)])
    cost = numpy(quality_focal(logits, np.float32([1, 0.5, 0])))
    # (1 - 1/2)**2 ln 2; as wanted; (3/4)**2 ln 4
    np.testing.assert_allclose(cost, [math.log(2) / 4, 0, 9 / 16 * math.log(4)], rtol=1e-6)


def test_quality_focal_is_the_plain_twins() -> None:
    random = np.random.default_rng(0)
    logits, targets = random.normal(0, 4, 50), random.random(50)
    wanted = [
        (y - p) ** 2 * -(y * math.log(p) + (1 - y) * math.log(1 - p))
        for p, y in zip(sigmoid(logits), targets, strict=True)
    ]
    cost = numpy(quality_focal(logits.astype(np.float32), targets.astype(np.float32)))
    np.testing.assert_allclose(cost, wanted, rtol=1e-3, atol=1e-6)


def test_distribution_focal_by_hand() -> None:
    logits = np.zeros((3, BINS), np.float32)
    logits[0, 2], logits[0, 3] = math.log(5), math.log(2)  # of 5 + 2 + 9 = 16
    cost = numpy(distribution_focal(logits, np.float32([2.25, 4, 99])))
    by_hand = -(0.75 * math.log(5 / 16) + 0.25 * math.log(2 / 16))
    np.testing.assert_allclose(cost, [by_hand, math.log(BINS), math.log(BINS)], rtol=1e-5)


def distribution_twin(logits: np.ndarray, distance: float) -> float:
    distance = min(max(distance, 0), FARTHEST)
    left = int(distance)
    shares = np.exp(logits) / np.exp(logits).sum()
    return -(
        (left + 1 - distance) * np.log(shares[left]) + (distance - left) * np.log(shares[left + 1])
    )


def test_distribution_focal_is_the_plain_twins() -> None:
    random = np.random.default_rng(1)
    logits, distances = random.normal(0, 2, (40, BINS)), random.uniform(-2, 13, 40)
    wanted = [distribution_twin(x, d) for x, d in zip(logits, distances, strict=True)]
    cost = numpy(distribution_focal(logits.astype(np.float32), distances.astype(np.float32)))
    np.testing.assert_allclose(cost, wanted, rtol=1e-4)


def test_generalized_iou_is_that_of_numpy() -> None:
    random = np.random.default_rng(2)
    first, second = random.uniform(0, 50, (2, 40, 4))
    first[:, 2:] += first[:, :2] + 1
    second[:, 2:] += second[:, :2] + 1
    ours = numpy(overlap.generalized_iou(first.astype("float32"), second.astype("float32")))
    np.testing.assert_allclose(ours, generalized_iou(first, second), atol=1e-5)


def random_case(seed: int, height: int = 64, width: int = 96):
    random = np.random.default_rng(seed)
    batch, most, channels = 3, 3, CLASSES + 4 * BINS
    outputs = [
        random.normal(0, 1, (batch, height // h.stride, width // h.stride, channels)) for h in HEADS
    ]
    sides = np.exp(random.uniform(math.log(0.05), math.log(0.9), (batch, most, 2)))
    centers = sides / 2 + random.random((batch, most, 2)) * (1 - sides)
    boxes = np.concatenate([centers, sides], -1).astype(np.float32)
    classes = random.integers(0, CLASSES, (batch, most)).astype(np.int32)
    valid = (np.arange(most) < np.array([[0], [1], [3]])).astype(np.float32)
    return [x.astype(np.float32) for x in outputs], Truth(boxes, classes, valid)


def twin(outputs, truth: Truth) -> np.ndarray:
    """Return (batch, 3): box, object, classes, a cell at a time; the assignment as it is."""
    batch, rows, columns = outputs[0].shape[:3]
    pixels = truth.boxes * np.tile(np.array([columns, rows]) * 8, 2)
    real = np.concatenate(
        [pixels[..., :2] - pixels[..., 2:] / 2, pixels[..., :2] + pixels[..., 2:] / 2], -1
    )
    result, total = np.zeros((batch, 3)), 0.0
    for b in range(batch):
        cells = []
        for raw, head in zip(outputs, HEADS, strict=True):
            for y, x in np.ndindex(*raw.shape[1:3]):
                logits = raw[b, y, x].astype(np.float64)
                bins = logits[CLASSES:].reshape(4, BINS)
                shares = np.exp(bins) / np.exp(bins).sum(1, keepdims=True)
                reach = shares @ np.arange(BINS) * head.stride
                middle = np.array([(x + 0.5) * head.stride, (y + 0.5) * head.stride])
                box = np.concatenate([middle - reach[:2], middle + reach[2:]])
                cells.append((logits[:CLASSES], bins, middle, head.stride, box))
        scores = np.array([[sigmoid(c[0][k]) for c in cells] for k in truth.classes[b]])
        place, target = (
            numpy(x)[0]
            for x in task_aligned(
                scores[None].astype(np.float32),
                np.float32([c[4] for c in cells])[None],
                np.float32([c[2] for c in cells]),
                np.float32([c[3] for c in cells]),
                real[b][None].astype(np.float32),
                truth.valid[b][None],
            )
        )
        for (logits, bins, middle, stride, box), n, t in zip(cells, place, target, strict=True):
            for k in range(CLASSES):
                wanted = t if t > 0 and truth.classes[b, n] == k else 0.0
                p = sigmoid(logits[k])
                cost = (wanted - p) ** 2 * -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p))
                result[b, 2 if t > 0 else 1] += cost
            if t > 0:
                reach = np.concatenate([middle - real[b, n, :2], real[b, n, 2:] - middle]) / stride
                spread = np.mean([distribution_twin(bins[s], reach[s]) for s in range(4)])
                result[b, 0] += t * (2 * (1 - generalized_iou(box, real[b, n])) + spread / 4)
        total += target.sum()
    return result / (max(total, 1) / batch)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_the_plain_twin(seed: int) -> None:
    outputs, truth = random_case(seed)
    parts = nanodet_loss([keras.ops.convert_to_tensor(x) for x in outputs], HEADS, truth)
    ours = np.stack([numpy(part) for part in parts], -1)
    np.testing.assert_allclose(ours, twin(outputs, truth), rtol=2e-4, atol=1e-5)


def test_a_batch_without_a_box_costs_what_its_scores_claim() -> None:
    outputs, truth = random_case(0)
    nothing = truth._replace(valid=np.zeros_like(truth.valid))
    parts = nanodet_loss([keras.ops.convert_to_tensor(x) for x in outputs], HEADS, nothing)
    logits = np.concatenate([x[..., :CLASSES].reshape(3, -1) for x in outputs], 1)
    background = (sigmoid(logits) ** 2 * np.log1p(np.exp(logits))).sum(1)
    np.testing.assert_allclose(numpy(parts.object), 3 * background, rtol=1e-4)
    assert not numpy(parts.box).any() and not numpy(parts.classes).any()


@pytest.mark.slow
def test_xla_compiles_the_loss() -> None:
    """It has static shapes and no loop in Python."""
    import tensorflow as tf

    outputs, truth = random_case(1, 32, 32)
    wanted = nanodet_loss([keras.ops.convert_to_tensor(x) for x in outputs], HEADS, truth)
    compiled = tf.function(lambda raw: nanodet_loss(raw, HEADS, truth), jit_compile=True)
    for ours, theirs in zip(compiled(outputs), wanted, strict=True):
        np.testing.assert_allclose(numpy(ours), numpy(theirs), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_gradient_steps_place_and_name_the_boxes_of_a_batch() -> None:
    import tensorflow as tf

    random_outputs, truth = random_case(3)
    outputs = [tf.Variable(x) for x in random_outputs]
    optimizer = keras.optimizers.Adam(0.2)
    optimizer.build(outputs)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(sum(nanodet_loss(outputs, HEADS, truth)))
        return loss, tape.gradient(loss, outputs)

    losses = []
    for _ in range(60):
        loss, gradients = step()
        optimizer.apply(gradients)
        losses.append(float(loss))
    assert losses[-1] < 0.1 * losses[0]
