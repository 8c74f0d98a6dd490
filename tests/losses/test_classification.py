from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from cnnkit.losses import SmoothedCrossEntropy, class_shares, cross_entropy, is_correct


def plain(labels: np.ndarray, logits: np.ndarray, smoothing: float, weights: list | None) -> list:
    """The loss of each example, example by example."""
    losses = []
    for shares, row in zip(labels, logits, strict=True):
        logarithm = row - math.log(sum(math.exp(x) for x in row))
        target = [s * (1 - smoothing) + smoothing / len(row) for s in shares]
        weight = sum(s * w for s, w in zip(shares, weights, strict=True)) if weights else 1.0
        losses.append(-weight * sum(t * x for t, x in zip(target, logarithm, strict=True)))
    return losses


def test_by_hand() -> None:
    # Probabilities 1/4 and 3/4; smoothing 0.2 gives the targets 0.9 and 0.1; the class weighs 2.
    logits = np.log([[0.25, 0.75]]).astype(np.float32)
    expected = 2 * -(0.9 * math.log(0.25) + 0.1 * math.log(0.75))
    loss = SmoothedCrossEntropy(0.2, [2.0, 1.0])
    assert float(loss(np.array([0]), logits)) == pytest.approx(expected, rel=1e-6)
    assert float(cross_entropy(np.array([0]), logits)[0]) == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 1.0, 2.0]])
@pytest.mark.parametrize("mixed", [False, True])
def test_agrees_with_the_plain_form(smoothing: float, weights: list | None, mixed: bool) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (6, 4)).astype(np.float32)
    numbers = np.array([0, 1, 2, 3, 1, 0], np.int32)
    shares = np.eye(4)[numbers]
    if mixed:
        shares = 0.7 * shares + 0.3 * shares[::-1]
    expected = plain(shares, logits, smoothing, weights)
    loss = SmoothedCrossEntropy(smoothing, weights)
    labels = shares.astype(np.float32) if mixed else numbers
    np.testing.assert_allclose(loss.call(labels, logits), expected, rtol=1e-5)
    sample = np.array([1, 1, 1, 0, 0, 2], np.float32)
    whole = float(loss(labels, logits, sample_weight=sample))
    assert whole == pytest.approx(np.mean(sample * expected), rel=1e-5)


def test_a_huge_logit_is_no_overflow() -> None:
    loss = cross_entropy(np.array([1]), np.array([[1e4, -1e4]], np.float32))
    assert float(loss[0]) == pytest.approx(2e4)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_numbers_and_columns_of_numbers_are_labels(shape: tuple) -> None:
    labels = np.array([2, 0, 1]).reshape(shape)
    np.testing.assert_array_equal(class_shares(labels, 3), np.eye(3)[[2, 0, 1]])


def test_which_are_correct() -> None:
    logits = np.array([[1, 2], [2, 1], [0, 5]], np.float32)
    np.testing.assert_array_equal(is_correct(np.array([1, 1, 1]), logits), [1, 0, 1])
    shares = np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6]], np.float32)
    np.testing.assert_array_equal(is_correct(shares, logits), [0, 1, 1])


def test_the_loss_has_its_parameters_in_its_config() -> None:
    loss = SmoothedCrossEntropy(0.1, [1.0, 2.0])
    again = SmoothedCrossEntropy(**loss.get_config())
    assert (again.smoothing, again.class_weights) == (0.1, [1.0, 2.0])
    assert isinstance(loss, keras.losses.Loss)
