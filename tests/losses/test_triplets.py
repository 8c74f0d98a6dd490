"""The triplet losses against their plain twins, by hand, and at the places where roots break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit import runtime
from cnnkit.losses import triplets
from tests.losses import plain_triplets

# Two people on a line: a at 0 and 1, b at 2 and 4.
LABELS = np.array([0, 0, 1, 1], np.int32)
LINE = np.array([[0.0], [1.0], [2.0], [4.0]], np.float32)


def value(mining: str, labels: np.ndarray, embeddings: np.ndarray, margin: float) -> float:
    return float(triplets.FORMULAS[mining](labels, embeddings, margin))


def test_semi_hard_by_hand():
    # Squares: d01 = 1, d02 = 4, d03 = 16, d12 = 1, d13 = 9, d23 = 4.
    # (0, 1): beyond 1 is 4, loss 0. (1, 0): beyond 1 is 9, loss 0.
    # (2, 3): beyond 4 is nothing (4 and 1 are not), the farthest is 4: 4 - 4 + 0.5 = 0.5.
    # (3, 2): beyond 4 is 9: 0.
    assert value("semi-hard", LABELS, LINE, 0.5) == pytest.approx(0.5 / 4)


def test_batch_hard_by_hand():
    # Gaps: 1 - 2, 1 - 1, 2 - 1, 2 - 3; with margin 0.5: 0, 0.5, 1.5, 0.
    assert value("batch-hard", LABELS, LINE, 0.5) == pytest.approx(2.0 / 4)
    soft = np.mean(np.log1p(np.exp([-1.0, 0.0, 1.0, -1.0])))
    assert value("batch-hard", LABELS, LINE, 0.0) == pytest.approx(soft, rel=1e-6)


def test_batch_all_by_hand():
    # a0: 1-2, 1-4; a1: 1-1, 1-3; b2: 2-2, 2-1; b3: 2-4, 2-3; over 0 with margin 0.5:
    # a1 0.5, b2 0.5 and 1.5.
    assert value("batch-all", LABELS, LINE, 0.5) == pytest.approx(2.5 / 3)


def test_pair_logistic_by_hand():
    # Same: |d| = 1 and 2; different: 2, 4, 1, 3; each pair twice, which changes no mean.
    same = np.mean(np.log1p(np.exp([1 - 2.0, 2 - 2.0])))
    different = np.mean(np.log1p(np.exp([2.0 - d for d in (2, 4, 1, 3)])))
    found = float(triplets.pair_logistic(LABELS, LINE, 2.0))
    assert found == pytest.approx((same + different) / 2, rel=1e-6)


@settings(max_examples=30)
@given(
    mining=st.sampled_from(sorted(triplets.FORMULAS)),
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=9),
    seed=st.integers(0, 10_000),
    margin=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_the_losses_are_those_of_their_twins(mining, labels, seed, margin):
    if margin == 0.0 and mining != "batch-hard":
        margin = 0.3
    labels = np.array(labels, np.int32)
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 3)).astype(np.float32)
    plain = plain_triplets.PLAIN[mining](labels, embeddings, margin)
    assert value(mining, labels, embeddings, margin) == pytest.approx(plain, abs=2e-5)


@settings(max_examples=10)
@given(labels=st.lists(st.integers(0, 2), min_size=2, max_size=8), seed=st.integers(0, 10_000))
def test_the_logistic_loss_is_that_of_its_twin(labels, seed):
    labels = np.array(labels, np.int32)
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), 3)).astype(np.float32)
    plain = plain_triplets.pair_logistic(labels, embeddings, 4.0)
    assert float(triplets.pair_logistic(labels, embeddings, 4.0)) == pytest.approx(plain, abs=1e-5)


def gradient_of(loss, embeddings: np.ndarray) -> np.ndarray:
    compiled = runtime.value_and_gradient(lambda x: loss(LABELS, x))
    return np.asarray(compiled(embeddings)[1])


@pytest.mark.parametrize("mining", triplets.FORMULAS)
@pytest.mark.parametrize("embeddings", [np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32)])
def test_gradients_are_finite_where_all_embeddings_are_one(mining, embeddings):
    gradient = gradient_of(lambda y, x: triplets.FORMULAS[mining](y, x, 0.2), embeddings)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mining", triplets.FORMULAS)
def test_gradients_are_those_of_finite_differences(mining):
    start = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    gradient = gradient_of(lambda y, x: triplets.FORMULAS[mining](y, x, 1.0), start)
    step = 1e-3
    for row, column in np.ndindex(*start.shape):
        moved = [start.copy() for _ in range(2)]
        moved[0][row, column] += step
        moved[1][row, column] -= step
        up, down = (plain_triplets.PLAIN[mining](LABELS, m, 1.0) for m in moved)
        assert gradient[row, column] == pytest.approx((up - down) / (2 * step), abs=5e-3)


@pytest.mark.parametrize("mining", ["semi-hard", "batch-all"])
def test_collapsed_embeddings_cost_the_margin(mining):
    assert value(mining, LABELS, np.ones((4, 3), np.float32), 0.2) == pytest.approx(0.2, abs=1e-5)


def test_the_nearest_example_by_hand():
    # The nearest of 0 is 1, of 1 is 0 or 2 (the first wins), of 2 is 1, of 4 is 2.
    found = np.asarray(triplets.nearest_is_same(LABELS, LINE))
    np.testing.assert_array_equal(found, [1.0, 1.0, 0.0, 1.0])


def test_the_loss_classes_give_the_batch_value_to_every_example():
    loss = triplets.TripletLoss("batch-hard", 0.5)
    np.testing.assert_allclose(np.asarray(loss.call(LABELS[:, None], LINE)), [0.5] * 4)
    assert float(loss(LABELS[:, None], LINE)) == pytest.approx(0.5)
    assert triplets.TripletLoss(**loss.get_config()).mining == "batch-hard"
    assert float(triplets.PairLogisticLoss(2.0)(LABELS, LINE)) == pytest.approx(
        float(triplets.pair_logistic(LABELS, LINE, 2.0))
    )
