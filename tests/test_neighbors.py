"""The most similar vectors: exact, in order, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit import neighbors
from cnnkit.neighbors import (
    GroupedVectors,
    cosines,
    lengths_of,
    most_similar,
    pair_cosines,
    similar_pairs,
)


def test_cosines_by_hand():
    vectors = np.array([[3, 4], [4, -3], [-3, -4], [1, 0]], np.float32)
    query = np.array([[6.0, 8.0]])
    [(rows, scores)] = most_similar(vectors, query, 4)
    assert rows.tolist() == [0, 3, 1, 2]
    assert scores.tolist() == [1.0, 0.6, 0.0, -1.0]
    assert lengths_of(vectors).tolist() == [5, 5, 5, 1]


def test_vectors_that_are_zero_or_not_finite_are_never_found():
    vectors = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [1, 1]], np.float32)
    [(rows, scores)] = most_similar(vectors, np.array([[1.0, 1.0]]), 4)
    assert rows.tolist() == [3] and scores[0] == pytest.approx(1, abs=1e-12)
    assert np.isnan(lengths_of(vectors)[1:3]).all()


def test_the_least_score_and_a_query_of_nothing():
    vectors = np.eye(3, dtype=np.float32)
    found = most_similar(vectors, np.array([[1.0, 0.9, 0.0], [0, 0, 0]]), 3, min_score=0.5)
    assert [rows.tolist() for rows, _ in found] == [[0, 1], []]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 40), st.integers(1, 6))
def test_blocks_do_not_matter_and_ties_come_in_order(seed, block, count, several):
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (30, 4)).astype(np.float32)  # many are equal or parallel
    queries = random.integers(-2, 3, (several, 4)).astype(float)
    before = neighbors.ROWS_AT_ONCE, neighbors.FIRST_ROWS
    neighbors.ROWS_AT_ONCE, neighbors.FIRST_ROWS = block, 2
    try:
        found = most_similar(vectors, queries, count)
    finally:
        neighbors.ROWS_AT_ONCE, neighbors.FIRST_ROWS = before
    usable = np.flatnonzero(np.abs(vectors).sum(axis=1))
    for query, (rows, scores) in zip(queries, found, strict=True):
        if not query.any():  # a cosine of 0 with all
            assert rows.tolist() == usable[:count].tolist() or not len(rows)
            continue
        exact = cosines(vectors, usable, query)
        order = np.argsort(-exact, kind="stable")[:count]
        assert rows.tolist() == usable[order].tolist()
        assert scores.tolist() == exact[order].tolist()


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


def test_similar_pairs_are_exact_and_in_order(monkeypatch):
    random = np.random.default_rng(3)
    wide = random.standard_normal((40, 6))
    wide[17] = wide[3] * 2
    vectors = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    vectors[5] = np.nan
    exact = vectors.astype(float)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    rows, columns = np.array([3, 9, 5, 20]), np.array([17, 0, 30, 2, 5, 39, 4])
    expected = [(r, c) for r in rows for c in columns if exact[r] @ exact[c] >= 0.1]
    for block in (2, 100):
        monkeypatch.setattr(neighbors, "ROWS_AT_ONCE", block)
        monkeypatch.setattr(neighbors, "PAIRS_AT_ONCE", block)
        found = similar_pairs(vectors, rows, columns, 0.1)
        assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert pair_cosines(vectors, np.array([3]), np.array([17])) == pytest.approx([1])
    assert len(similar_pairs(vectors, rows, columns[:0], 0.1)[0]) == 0
