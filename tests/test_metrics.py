"""Metrics against figures worked out by hand, properties, and scikit-learn as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnkit import metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")

LOGITS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(-1e4, 1e4),
)


# softmax


def test_softmax_by_hand():
    probabilities = metrics.softmax(np.log([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(probabilities, [[0.125, 0.25, 0.625]], rtol=1e-12)


def test_softmax_temperature_by_hand():
    # T = 2 takes square roots: 1, 2, 3 over 6
    probabilities = metrics.softmax(np.log([1.0, 4.0, 9.0]), temperature=2)
    np.testing.assert_allclose(probabilities, [1 / 6, 2 / 6, 3 / 6], rtol=1e-12)


def test_softmax_does_not_overflow():
    probabilities = metrics.softmax(np.array([1e4, 1e4, -1e4], dtype=np.float32))
    assert probabilities.tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("int64", "float64")],
)
def test_softmax_dtype(given_dtype, dtype):
    assert metrics.softmax(np.zeros((2, 3), given_dtype)).dtype == dtype


def test_softmax_of_nonsense_is_nan_and_of_a_masked_class_is_zero():
    logits = np.array([[0.0, -np.inf], [np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
    probabilities = metrics.softmax(logits)
    assert probabilities[0].tolist() == [1.0, 0.0]
    assert np.isnan(probabilities[1:]).all()


@given(LOGITS, st.floats(0.05, 50), st.floats(-1e3, 1e3))
def test_softmax_properties(logits, temperature, shift):
    probabilities = metrics.softmax(logits, temperature)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-9)
    shifted = metrics.softmax(logits + shift, temperature)
    np.testing.assert_allclose(shifted, probabilities, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_softmax_refuses_a_temperature(temperature):
    with pytest.raises(ValueError, match="`temperature` must be a finite number above 0"):
        metrics.softmax(np.zeros((1, 2)), temperature)


@pytest.mark.parametrize("shape", [(), (3, 0)])
def test_softmax_refuses_a_shape(shape):
    with pytest.raises(ValueError, match="`logits` must have shape"):
        metrics.softmax(np.zeros(shape))


# top_k_accuracy

SCORES = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])


@pytest.mark.parametrize(("k", "accuracy"), [(1, 0.25), (2, 0.75), (3, 1.0), (9, 1.0)])
def test_top_k_by_hand(k, accuracy):
    # ranks of the truth: 0, 1, 1, 2
    assert metrics.top_k_accuracy(SCORES, np.array([1, 2, 1, 2]), k) == accuracy


def test_top_k_ties_go_to_the_lower_index():
    scores = np.full((3, 3), 0.25)
    truth = np.array([0, 1, 2])
    assert metrics.top_k_accuracy(scores, truth, 1) == pytest.approx(1 / 3)
    assert metrics.top_k_accuracy(scores, truth, 2) == pytest.approx(2 / 3)


@given(st.data())
def test_top_k_is_a_stable_sort(data):
    samples, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    scores = data.draw(hnp.arrays(np.int8, (samples, classes), elements=st.integers(0, 3)))
    truth = data.draw(hnp.arrays(np.int64, samples, elements=st.integers(0, classes - 1)))
    k = data.draw(st.integers(1, classes))
    order = np.argsort(-scores.astype(int), axis=1, kind="stable")[:, :k]
    expected = np.mean([t in row for t, row in zip(truth, order, strict=True)])
    assert metrics.top_k_accuracy(scores, truth, k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_agrees_with_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores, truth = rng.normal(size=(300, 12)), rng.integers(0, 12, 300)
    oracle = sklearn_metrics.top_k_accuracy_score(truth, scores, k=k, labels=range(12))
    assert metrics.top_k_accuracy(scores, truth, k) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "truth", "k", "message"),
    [
        (SCORES, [0, 0, 0, 0], 0, "`k` must be at least 1"),
        (SCORES, [0, 0], 1, r"must have shape \(samples, classes\)"),
        (SCORES[0], [0, 0, 0], 1, r"must have shape \(samples, classes\)"),
        (SCORES, [0, 0, 0, 3], 1, "from 0 to 2. Received: 0 to 3"),
        (SCORES, [0, 0, 0, -1], 1, "from 0 to 2. Received: -1 to 0"),
        (SCORES, [0.0, 0.0, 0.0, 1.0], 1, "`truth` must hold integers"),
        (np.full((1, 2), np.nan), [0], 1, "must not hold NaN"),
        (np.zeros((0, 3)), [], 1, "at least one sample"),
    ],
)
def test_top_k_refuses(scores, truth, k, message):
    with pytest.raises(ValueError, match=message):
        metrics.top_k_accuracy(scores, np.array(truth), k)


# confusion_matrix and what follows from it

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 2, 0])
CONFUSION = [[2, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_confusion_by_hand():
    confusion = metrics.confusion_matrix(TRUTH, PREDICTED, 4)
    assert confusion.tolist() == CONFUSION
    assert confusion.dtype == np.int64


def test_confusion_of_nothing():
    assert metrics.confusion_matrix(np.array([]), np.array([]), 2).tolist() == [[0, 0], [0, 0]]


def test_confusion_does_not_overflow_small_integers():
    truth = np.full(3, 200, dtype=np.uint8)
    assert metrics.confusion_matrix(truth, truth, 201)[200, 200] == 3


@pytest.mark.parametrize(
    ("truth", "predicted", "classes", "message"),
    [
        ([0], [0, 1], 2, r"both have shape \(samples,\)"),
        ([2], [0], 2, "`truth` must hold class indices from 0 to 1"),
        ([0], [-1], 2, "`predicted` must hold class indices from 0 to 1"),
        ([], [], 0, "`classes` must be at least 1"),
    ],
)
def test_confusion_refuses(truth, predicted, classes, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(truth), np.array(predicted), classes)


def test_scores_by_hand():
    scores = metrics.precision_recall_f1(np.array(CONFUSION))
    np.testing.assert_allclose(scores.precision, [2 / 3, 1 / 2, 0, 0])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1 / 2, 0, 0])
    np.testing.assert_allclose(scores.f1, [2 / 3, 1 / 2, 0, 0])
    assert scores.support.tolist() == [3, 2, 1, 0]
    assert scores.macro.f1 == pytest.approx((2 / 3 + 1 / 2) / 3)  # the fourth is never used
    assert scores.weighted.recall == pytest.approx(3 / 6)  # weighted recall is the accuracy
    assert metrics.balanced_accuracy(np.array(CONFUSION)) == pytest.approx((2 / 3 + 1 / 2) / 3)


def test_balanced_accuracy_leaves_out_absent_classes():
    assert metrics.balanced_accuracy(np.array([[1, 1], [0, 0]])) == 0.5


def test_scores_of_nothing_are_zero():
    scores = metrics.precision_recall_f1(np.zeros((3, 3), int))
    assert scores.macro == scores.weighted == metrics.Averages(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least one sample"):
        metrics.balanced_accuracy(np.zeros((3, 3), int))


def test_scores_refuse_a_shape():
    with pytest.raises(ValueError, match=r"must have shape \(classes, classes\)"):
        metrics.precision_recall_f1(np.zeros((2, 3)))


@given(st.data())
@settings(max_examples=50)
def test_scores_agree_with_scikit_learn(data):
    classes, samples = data.draw(st.integers(2, 7)), data.draw(st.integers(1, 40))
    indices = hnp.arrays(np.int64, samples, elements=st.integers(0, classes - 1))
    truth, predicted = data.draw(indices), data.draw(indices)
    confusion = metrics.confusion_matrix(truth, predicted, classes)
    oracle = sklearn_metrics.confusion_matrix(truth, predicted, labels=range(classes))
    assert (confusion == oracle).all()
    scores = metrics.precision_recall_f1(confusion)
    each = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(classes), zero_division=0
    )
    ours = (scores.precision, scores.recall, scores.f1, scores.support)
    for mine, theirs in zip(ours, each, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    for name in ("macro", "weighted"):
        average = getattr(scores, name)
        expected = sklearn_metrics.precision_recall_fscore_support(
            truth, predicted, average=name, zero_division=0
        )[:3]
        np.testing.assert_allclose(
            [average.precision, average.recall, average.f1], expected, atol=1e-12
        )


def test_balanced_accuracy_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.choice([0, 1, 3], 200), rng.choice([0, 1, 3], 200)
    oracle = sklearn_metrics.balanced_accuracy_score(truth, predicted)
    confusion = metrics.confusion_matrix(truth, predicted, 5)
    assert metrics.balanced_accuracy(confusion) == pytest.approx(oracle, abs=1e-12)


# expected_calibration_error


def test_calibration_by_hand():
    confidence = np.array([0.55, 0.65, 0.9, 1.0])
    calibration = metrics.expected_calibration_error(confidence, [1, 0, 1, 1], bins=2)
    # all four in (0.5, 1]: accuracy 0.75, mean confidence 0.775
    assert calibration.error == pytest.approx(0.025)
    assert calibration.bins[0] == metrics.ReliabilityBin(0.0, 0.5, 0, None, None)
    last = calibration.bins[1].to_dict()
    assert (last["low"], last["high"], last["count"], last["accuracy"]) == (0.5, 1.0, 4, 0.75)
    assert last["confidence"] == pytest.approx(0.775)


def test_calibration_weighs_bins_by_count():
    # (0, .5]: 0.2 twice, both right: gap .8 * 2; (.5, 1]: 0.9 once, wrong: gap .9 * 1
    calibration = metrics.expected_calibration_error([0.2, 0.2, 0.9], [True, True, False], bins=2)
    assert calibration.error == pytest.approx((2 * 0.8 + 0.9) / 3)


def test_calibration_edges_belong_to_the_lower_bin():
    calibration = metrics.expected_calibration_error([0.0, 0.25, 0.5, 1.0], [1, 1, 1, 1], bins=4)
    assert [b.count for b in calibration.bins] == [2, 1, 0, 1]


def test_calibration_forgives_the_rounding_of_a_softmax():
    calibration = metrics.expected_calibration_error([1 + 5e-7, -5e-7], [1, 0])
    assert calibration.error == 0
    assert len(calibration.bins) == 15


@given(st.data())
def test_calibration_properties(data):
    samples, bins = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 20))
    confidence = data.draw(hnp.arrays(np.float64, samples, elements=st.floats(0, 1)))
    correct = data.draw(hnp.arrays(np.bool_, samples))
    calibration = metrics.expected_calibration_error(confidence, correct, bins)
    assert sum(b.count for b in calibration.bins) == samples
    assert abs(correct.mean() - confidence.mean()) - 1e-9 <= calibration.error <= 1 + 1e-9
    for table_bin in calibration.bins:
        if table_bin.count:
            assert table_bin.low - 1e-9 <= table_bin.confidence <= table_bin.high + 1e-9


def test_calibration_bins_agree_with_scikit_learn():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=500)
    correct = rng.uniform(size=500) < confidence**2
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    filled = [b for b in metrics.expected_calibration_error(confidence, correct).bins if b.count]
    np.testing.assert_allclose([b.accuracy for b in filled], accuracy, atol=1e-12)
    np.testing.assert_allclose([b.confidence for b in filled], mean, atol=1e-12)


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "message"),
    [
        ([0.5], [1], 0, "`bins` must be at least 1"),
        ([0.5, 0.6], [1], 15, r"both have shape \(samples,\)"),
        ([], [], 15, "at least one sample"),
        ([1.1], [1], 15, "between 0 and 1. Received: 1.1 to 1.1"),
        ([float("nan")], [1], 15, "between 0 and 1"),
    ],
)
def test_calibration_refuses(confidence, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        metrics.expected_calibration_error(confidence, correct, bins)
