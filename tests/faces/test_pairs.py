"""Pairs by hand, against scikit-learn, and against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from cnnkit.faces import pairs
from cnnkit.faces.gallery import calibrating
from cnnkit.faces.pairs import PairDistances

# Same pairs at 1, 2 and 5; different ones at 3, 4, 6, 7.
SMALL = PairDistances(np.array([1.0, 2.0, 5.0]), np.array([3.0, 4.0, 6.0, 7.0]), 3)


def test_distances_of_a_few_photos_by_hand():
    vectors = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    found = pairs.pair_distances(vectors, np.array([0, 0, 1]))
    np.testing.assert_allclose(found.same, [5.0])
    np.testing.assert_allclose(found.different, [1.0, np.hypot(3, 3)])
    assert found.people == 2
    found = pairs.pair_distances(vectors, np.array([0, 0, 1]), "manhattan")
    np.testing.assert_allclose(found.same, [7.0])


def test_rates_by_hand():
    assert pairs.rates_at(SMALL, 3.0) == (pytest.approx(2 / 3), 0.25)
    # Of 12 pairs of pairs, (5, 3) and (5, 4) are the wrong way round.
    assert pairs.area_under_curve(SMALL) == pytest.approx(10 / 12)
    # At 3: 1 of 4 accepted wrongly, 1 of 3 rejected wrongly; nowhere nearer.
    rate, threshold = pairs.equal_error_rate(SMALL)
    assert (rate, threshold) == (pytest.approx((1 / 4 + 1 / 3) / 2), 3.0)


@pytest.mark.parametrize(
    ("far", "low", "high"), [(0.0, 2.9, 3.0), (0.25, 3.9, 4.0), (0.3, 3.9, 4.0), (1.0, 6.9, 7.1)]
)
def test_the_threshold_of_a_rate_lies_under_the_first_pair_too_many(far, low, high):
    threshold = pairs.threshold_at(SMALL, far)
    assert low < threshold < high
    assert pairs.rates_at(SMALL, threshold)[1] <= far


@given(st.integers(0, 10_000))
def test_the_area_is_scikit_learns(seed):
    generator = np.random.default_rng(seed)
    same, different = generator.integers(0, 9, 20), generator.integers(2, 12, 30)
    found = pairs.area_under_curve(PairDistances(same * 1.0, different * 1.0, 2))
    truth = np.repeat([1, 0], [20, 30])
    assert found == pytest.approx(roc_auc_score(truth, -np.concatenate([same, different])))


@given(st.integers(1, 400), st.data())
def test_the_interval_is_that_of_the_binomial_distribution(count, data):
    hits = data.draw(st.integers(0, count))
    found = pairs.proportion_interval(hits, count)
    assert found.low <= found.share <= found.high
    if hits:
        assert binom.sf(hits - 1, count, found.low) == pytest.approx(0.025, abs=1e-6)
    if hits < count:
        assert binom.cdf(hits, count, found.high) == pytest.approx(0.025, abs=1e-6)


def test_no_hit_in_300_pairs_is_the_rule_of_three():
    # One-sided at 97.5 %: 1 - 0.025 ** (1 / 300).
    assert pairs.proportion_interval(0, 300).high == pytest.approx(1 - 0.025 ** (1 / 300))


def test_a_probability_is_found_again():
    generator = np.random.default_rng(0)
    distances = generator.uniform(0, 2, 40_000)
    same = generator.random(40_000) < 1 / (1 + np.exp(8 * (distances - 1)))
    midpoint, steepness = pairs.fit_probability(PairDistances(distances[same], distances[~same], 2))
    assert midpoint == pytest.approx(1.0, abs=0.02)
    assert steepness == pytest.approx(8.0, rel=0.05)


def test_a_probability_stays_finite_where_nothing_overlaps():
    midpoint, steepness = pairs.fit_probability(
        PairDistances(np.array([0.1, 0.2]), np.array([0.9, 1.0]), 2)
    )
    assert 0.2 < midpoint < 0.9
    assert 0 < steepness < 1000


def test_spread_is_0_where_all_vectors_are_one():
    assert pairs.spread(np.ones((5, 3))) == 0.0
    assert pairs.spread(np.zeros((5, 3))) == 0.0
    assert pairs.spread(np.full((2, 2), np.nan)) == 0.0
    assert pairs.spread(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(1.0)


def test_the_summary_names_only_rates_that_the_pairs_can_show():
    generator = np.random.default_rng(0)
    many = PairDistances(generator.normal(0.4, 0.1, 50), generator.normal(0.9, 0.1, 400), 9)
    found = pairs.summary(many, 0.6)
    assert list(found["tar_at"]) == ["0.1", "0.01"]
    assert found["auc"] > 0.99


def test_of_very_many_photos_it_is_said_that_a_part_is_compared(monkeypatch, caplog):
    """What is counted are the photos that were compared, and their people."""
    monkeypatch.setattr(pairs, "MAX_PHOTOS", 30)
    monkeypatch.setattr(calibrating, "MAX_PHOTOS", 30)
    random = np.random.default_rng(0)
    labels = np.arange(60) // 3
    vectors = random.normal(0, 1, (20, 8))[labels] + random.normal(0, 0.05, (60, 8))
    found = calibrating.calibrate(vectors.astype(np.float32), labels, "euclidean", 0.1)
    assert (found.photos, found.same_pairs + found.different_pairs) == (30, 435)
    assert 10 <= found.people < 20
    [told] = caplog.messages
    assert told == "There are 60 photos: a random part of 30 is compared, 435 pairs."
    caplog.clear()
    few = calibrating.calibrate(vectors[:30].astype(np.float32), labels[:30], "euclidean", 0.1)
    assert (few.photos, few.people, caplog.messages) == (30, 10, [])
