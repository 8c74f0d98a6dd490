"""The temperature and the threshold, against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit import metrics
from cnnkit.calibration import fit_temperature, log_loss, threshold_for_precision


def drawn(samples: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are too sure by a known temperature, and truths drawn from them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (samples, 4))
    chances = metrics.softmax(logits)
    truth = (chances.cumsum(axis=1) > generator.random((samples, 1))).argmax(axis=1)
    return logits * temperature, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    logits, truth = drawn(20_000, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_calibration_lowers_the_error_and_changes_no_guess():
    logits, truth = drawn(5_000, 3.0)
    temperature = fit_temperature(logits, truth)
    before, after = (metrics.softmax(logits, t) for t in (1.0, temperature))
    assert (before.argmax(1) == after.argmax(1)).all()
    correct = before.argmax(1) == truth
    errors = [metrics.expected_calibration_error(p.max(1), correct).error for p in (before, after)]
    assert errors[1] < errors[0] / 3
    assert log_loss(logits, truth, temperature) < log_loss(logits, truth)


def test_a_faultless_validation_gives_no_certainty():
    truth = np.array([0, 1] * 20)
    logits = np.eye(2)[truth] * 3.0
    temperature = fit_temperature(logits, truth)
    surest = metrics.softmax(logits, temperature).max()
    # For two classes and equal margins the best confidence is the share that counts as right.
    assert surest == pytest.approx(40.5 / 41, abs=1e-3)


def test_log_loss_is_minus_the_mean_log_probability():
    logits, truth = drawn(50, 1.0)
    expected = -np.log(metrics.softmax(logits)[np.arange(50), truth]).mean()
    assert log_loss(logits, truth) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "truth"), [(np.zeros((0, 3)), []), (np.zeros((2, 1)), [0, 0]), (np.zeros(3), [0])]
)
def test_a_temperature_needs_samples_and_classes(logits, truth):
    with pytest.raises(ValueError, match="`logits` must have shape"):
        fit_temperature(logits, np.array(truth, int))


def test_the_threshold_accepts_as_many_as_the_precision_allows():
    confidence = np.linspace(0.5, 0.99, 100)
    correct = np.ones(100, bool)
    correct[:10] = False  # the ten least sure are wrong
    found = threshold_for_precision(confidence, correct, 0.95)
    accepted = confidence >= found.value
    assert correct[accepted].mean() == found.precision >= 0.95
    assert accepted.mean() == found.coverage
    wider = confidence >= confidence[~accepted].max()
    assert correct[wider].mean() < 0.95


@pytest.mark.parametrize(("right", "precision"), [(19, 0.95), (5, 0.8)])
def test_too_few_images_show_no_precision(right, precision):
    confidence, correct = np.full(right, 0.9), np.ones(right, bool)
    least = math.ceil(1 / (1 - precision) - 1e-9)
    found = threshold_for_precision(confidence, correct, precision)
    assert (found is None) == (right < least)


def test_a_precision_that_cannot_be_met_gives_none():
    correct = np.array([True, False] * 50)
    assert threshold_for_precision(np.linspace(0, 1, 100), correct, 0.9) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.floats(0.05, 0.95))
def test_a_threshold_keeps_its_promise(samples, precision):
    confidence = np.array([c for c, _ in samples])
    correct = np.array([right for _, right in samples], bool)
    found = threshold_for_precision(confidence, correct, precision)
    if found is not None:
        accepted = confidence >= found.value
        assert correct[accepted].mean() >= precision
        assert found.value <= 1


@pytest.mark.parametrize("precision", [0, 1, 1.5, math.nan])
def test_a_precision_is_over_0_and_under_1(precision):
    with pytest.raises(ValueError, match="`precision` must be over 0"):
        threshold_for_precision(np.ones(3), np.ones(3, bool), precision)
