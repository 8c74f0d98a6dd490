"""The logistic unit on differences: what it learns, and that no weight is under 0."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.faces.training.head import (
    MAX_PAIRS,
    Differences,
    differences,
    find_head,
    head_loss,
)


def people(seed: int, count: int = 30, photos: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors whose first two numbers tell people apart; six more are noise."""
    generator = np.random.default_rng(seed)
    telling = generator.normal(size=(count, 1, 2)) + 0.1 * generator.normal(size=(count, photos, 2))
    noise = generator.normal(size=(count, photos, 6))
    vectors = np.concatenate([telling, noise], axis=2).reshape(-1, 8)
    return vectors, np.repeat(np.arange(count), photos)


def test_differences_by_hand():
    vectors = np.array([[0.0, 1.0], [2.0, -1.0], [5.0, 5.0]])
    found = differences(vectors, np.array([0, 0, 1]), 0)
    np.testing.assert_array_equal(found.same, [[2.0, 2.0]])
    np.testing.assert_array_equal(found.different, [[5.0, 4.0], [3.0, 6.0]])


def test_the_unit_finds_which_numbers_tell():
    head = find_head(differences(*people(0), 0), differences(*people(1), 0))
    assert (head.weights >= 0).all()
    assert head.weights[:2].min() > 5 * head.weights[2:].max()
    assert head.bias > 0
    assert head.loss < 0.35  # knowing nothing costs log 2 = 0.69


def test_its_loss_is_that_of_the_definition():
    pairs = Differences(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, 1.0]]))
    weights, bias = np.array([1.0, 0.5]), 1.5
    probability = 1 / (1 + np.exp(-(bias - np.array([1.0, 1.0, 3.5]))))
    expected = (-np.log(probability[:2]).mean() - np.log(1 - probability[2])) / 2
    assert head_loss(pairs, weights, bias) == pytest.approx(expected)


def test_useless_numbers_give_a_useless_unit_and_no_error():
    generator = np.random.default_rng(0)
    vectors, labels = generator.normal(size=(40, 3)), np.repeat(np.arange(10), 4)
    head = find_head(differences(vectors, labels, 0), differences(vectors[::-1], labels, 0))
    assert head.loss == pytest.approx(np.log(2), abs=0.1)


def test_differences_of_many_photos_are_sampled_without_listing_all_pairs():
    vectors = np.arange(40_000.0)[:, None]  # 800 million pairs would take 13 GB
    labels = np.arange(40_000) % 10_000  # not in order: person n has n, n + 10,000 and so on
    found = differences(vectors, labels, 0)
    assert found.same.shape == found.different.shape == (MAX_PAIRS, 1)
    assert set(found.same.ravel()) == {10_000.0, 20_000.0, 30_000.0}
    assert (found.different % 10_000 != 0).all()
    again = differences(vectors, labels, 0)
    np.testing.assert_array_equal(found.same, again.same)
    assert len(np.unique(found.different)) > MAX_PAIRS / 4


def test_a_unit_whose_distance_is_always_0_tells_nobody_apart():
    near, far = np.full((20, 2), 0.1), np.full((20, 2), 1.0)
    assert find_head(Differences(near, far), Differences(near, far)).tells
    assert not find_head(Differences(far, near), Differences(far, near)).tells
