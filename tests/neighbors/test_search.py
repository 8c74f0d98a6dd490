"""The nearest vectors: exact, in order, whatever the blocks, by every metric."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.neighbors import DISTANCES, cosines, lengths_of, metrics, most_similar, nearest, search


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


@pytest.mark.parametrize("metric", DISTANCES.values(), ids=DISTANCES)
def test_a_vector_that_is_not_finite_hides_no_other(metric):
    vectors = np.array([[0, 0], [np.nan, 1], [1, 1]], np.float32)
    [(rows, scores)] = nearest(vectors, np.array([[1.0, 1.0]]), 3, metric)
    assert rows.tolist() == [2, 0] and scores[0] == 0


def test_the_least_score_and_a_query_of_nothing():
    vectors = np.eye(3, dtype=np.float32)
    found = most_similar(vectors, np.array([[1.0, 0.9, 0.0], [0, 0, 0]]), 3, min_score=0.5)
    assert [rows.tolist() for rows, _ in found] == [[0, 1], []]


@contextmanager
def blocks_of(rows):
    before = metrics.ROWS_AT_ONCE, search.FIRST_ROWS
    metrics.ROWS_AT_ONCE, search.FIRST_ROWS = rows, 2
    try:
        yield
    finally:
        metrics.ROWS_AT_ONCE, search.FIRST_ROWS = before


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 40), st.integers(1, 6))
def test_blocks_do_not_matter_and_ties_come_in_order(seed, block, count, several):
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (30, 4)).astype(np.float32)  # many are equal or parallel
    queries = random.integers(-2, 3, (several, 4)).astype(float)
    with blocks_of(block):
        found = most_similar(vectors, queries, count)
    usable = np.flatnonzero(np.abs(vectors).sum(axis=1))
    for query, (rows, scores) in zip(queries, found, strict=True):
        if not query.any():  # a cosine of 0 with all
            assert rows.tolist() == usable[:count].tolist() or not len(rows)
            continue
        exact = cosines(vectors, usable, query)
        order = np.argsort(-exact, kind="stable")[:count]
        assert rows.tolist() == usable[order].tolist()
        assert scores.tolist() == exact[order].tolist()


@settings(max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 7),
    st.integers(1, 12),
    st.integers(1, 6),
    st.sampled_from(["euclidean", "manhattan"]),
    st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_groups_are_as_near_as_their_nearest_vector(seed, block, count, several, name, scale):
    random = np.random.default_rng(seed)
    vectors = (scale * random.integers(-2, 3, (30, 4))).astype(np.float32)  # many are equal
    queries = (scale * random.integers(-2, 3, (several, 4))).astype(np.float32)
    groups = np.sort(random.integers(0, 8, 30))
    with blocks_of(block):
        found = nearest(vectors, queries, count, DISTANCES[name], groups=groups)
        rows = nearest(vectors, queries, count, DISTANCES[name])
    for query, of_groups, of_rows in zip(queries, found, rows, strict=True):
        difference = vectors.astype(np.float64) - query.astype(np.float64)
        exact = np.linalg.norm(difference, ord=1 if name == "manhattan" else 2, axis=1)
        names = np.unique(groups)
        best = np.array([exact[groups == g].min() for g in names])
        for (numbers, scores), distances, labels in (
            (of_groups, best, names),
            (of_rows, exact, np.arange(30)),
        ):
            assert len(numbers) == min(count, len(labels))
            # of integers and their multiples, equal distances are exactly equal
            order = np.argsort(distances.round(9), kind="stable")[:count]
            assert numbers.tolist() == labels[order].tolist()
            np.testing.assert_allclose(-scores, distances[order], rtol=1e-6, atol=1e-12)


def test_a_vector_of_another_scale_does_not_hide_the_nearest():
    """The rough scores of the others are wrong by more than they differ."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(200, 64)).astype(np.float32)
    vectors[150] *= 300
    query = vectors[40] + np.float32(1e-4)
    [(rows, scores)] = nearest(vectors, query[None], 1, DISTANCES["euclidean"])
    assert rows.tolist() == [40]
    assert -scores[0] == pytest.approx(1e-4 * 8, rel=1e-2)
