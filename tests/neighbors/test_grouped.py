"""How similar vectors are to groups of others."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.neighbors import GroupedVectors


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_similarity_with_a_group_is_the_mean_of_its_most_similar_members(count):
    random = np.random.default_rng(count)
    groups = np.array([1, 0, 1, 2, 1, 0, 1, 1])
    vectors = random.standard_normal((8, 5)).astype(np.float32)
    query = random.standard_normal(5)
    grouped = GroupedVectors(vectors, groups, count)
    wide = vectors.astype(float)
    lengths = np.linalg.norm(wide, axis=1)
    angles = wide @ query / lengths / np.linalg.norm(query)
    counted = [min(count, max(np.sum(groups == g) - 1, 1)) for g in range(3)]
    expected = [np.sort(angles[groups == g])[-counted[g] :].mean() for g in range(3)]
    assert grouped.similarities(query) == pytest.approx(expected)
    assert grouped.similarities(np.zeros(5)).tolist() == [0, 0, 0]
    left_out = grouped.left_out()
    assert np.isnan(left_out[3])  # alone in its group
    for row in np.flatnonzero(groups != 2):
        others = np.flatnonzero((groups == groups[row]) & (np.arange(8) != row))
        own = np.sort(wide[others] @ wide[row] / lengths[others] / lengths[row])
        assert left_out[row] == pytest.approx(own[-counted[groups[row]] :].mean())
