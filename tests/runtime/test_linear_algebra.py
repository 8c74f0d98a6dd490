"""BLAS runs with one thread inside the block, and as before after it."""

from __future__ import annotations

import scipy.linalg  # noqa: F401 - brings its own BLAS
from threadpoolctl import threadpool_info

from cnnkit.runtime.linear_algebra import one_linear_algebra_thread


def threads() -> list[int]:
    return [entry["num_threads"] for entry in threadpool_info() if entry["user_api"] == "blas"]


def test_one_thread_inside_and_as_before_after():
    before = threads()
    assert before
    with one_linear_algebra_thread():
        assert set(threads()) == {1}
    assert threads() == before
