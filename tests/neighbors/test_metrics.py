"""The distances between two sets of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.neighbors import distances, quick_distances


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_distances_by_hand(metric):
    first, second = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 4.0]])
    expected = [[7.0], [0.0]] if metric == "manhattan" else [[5.0], [0.0]]
    np.testing.assert_array_equal(distances(first, second, metric), expected)


@given(st.integers(0, 1000), st.sampled_from(["euclidean", "manhattan"]))
def test_quick_distances_are_nearly_the_exact_ones(seed, metric):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(4, 128)), generator.normal(size=(5, 128))
    second[0] = first[0]
    exact = distances(first, second, metric)
    np.testing.assert_allclose(quick_distances(first, second, metric), exact, atol=1e-6)
