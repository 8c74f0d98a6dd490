"""Filters keep their sums in float16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.convert.rounding import RoundingError, rounded_array, rounded_arrays

kernels = arrays(
    np.float32, (3, 3, 4, 2), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


@given(kernels)
def test_a_filter_keeps_its_sum(kernel: np.ndarray) -> None:
    rounded = rounded_array("a_conv/kernel", kernel)
    step = 2**-9  # between neighbors of float16 from 2 to 4
    sums = [k.astype(np.float64).sum(axis=(0, 1, 2)) for k in (kernel, rounded)]
    assert rounded.dtype == np.float16
    np.testing.assert_allclose(*sums, rtol=0, atol=step)
    np.testing.assert_allclose(rounded, kernel, rtol=0, atol=2 * step)


@given(arrays(np.float32, (3, 3, 5, 1), elements=st.floats(-4, 4, width=32)))
def test_a_depthwise_filter_keeps_its_sum(kernel: np.ndarray) -> None:
    rounded = rounded_array("a_depthwise/kernel", kernel)
    sums = [k.astype(np.float64).sum(axis=(0, 1)) for k in (kernel, rounded)]
    np.testing.assert_allclose(*sums, rtol=0, atol=2**-9)


def test_vectors_are_rounded_one_by_one() -> None:
    values = np.array([1.0001, 0.3333, -7.7e-6], np.float32)
    np.testing.assert_array_equal(rounded_array("a/bias", values), values.astype(np.float16))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 1, 2, 1)])
def test_a_number_beyond_float16_is_refused(shape: tuple[int, ...]) -> None:
    values = np.full(shape, 70_000, np.float32)
    with pytest.raises(RoundingError, match="a/kernel must stay finite in float16"):
        rounded_arrays({"a/kernel": values})
