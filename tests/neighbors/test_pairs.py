"""The pairs of vectors that are similar enough."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.neighbors import pair_cosines, similar_pairs
from cnnkit.neighbors import pairs as module


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
        monkeypatch.setattr(module, "ROWS_AT_ONCE", block)
        monkeypatch.setattr(module, "PAIRS_AT_ONCE", block)
        found = similar_pairs(vectors, rows, columns, 0.1)
        assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert pair_cosines(vectors, np.array([3]), np.array([17])) == pytest.approx([1])
    assert len(similar_pairs(vectors, rows, columns[:0], 0.1)[0]) == 0
