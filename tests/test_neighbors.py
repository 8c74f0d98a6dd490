"""The most similar vectors: exact, in order, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit import neighbors
from cnnkit.neighbors import cosines, lengths_of, most_similar


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
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 40))
def test_blocks_do_not_matter_and_ties_come_in_order(seed, block, count):
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (30, 4)).astype(np.float32)  # many are equal or parallel
    queries = random.integers(-2, 3, (3, 4)).astype(float)
    before = neighbors.ROWS_AT_ONCE
    neighbors.ROWS_AT_ONCE = block
    try:
        found = most_similar(vectors, queries, count)
    finally:
        neighbors.ROWS_AT_ONCE = before
    usable = np.flatnonzero(np.abs(vectors).sum(axis=1))
    for query, (rows, scores) in zip(queries, found, strict=True):
        if not query.any():  # a cosine of 0 with all
            assert rows.tolist() == usable[:count].tolist() or not len(rows)
            continue
        exact = cosines(vectors, usable, query)
        order = np.argsort(-exact, kind="stable")[:count]
        assert rows.tolist() == usable[order].tolist()
        assert scores.tolist() == exact[order].tolist()
