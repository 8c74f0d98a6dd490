"""Rounding bits: packed and unpacked, and what they make of a kernel, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnnkit.runtime.quantization import FULL_RANGE, HALF_RANGE, kernel_limits
from cnnkit.runtime.rounding_bits import in_integers, packed, packed_size, second_nearest

EXACT = np.float32([[1.2, -1.2, 0.5], [-0.7, 2.0001, 63.9], [64 - 8e-6, -64.0, -63.6]])


def test_the_second_nearest_integer_is_on_the_other_side_and_within_reach():
    other = [[2, -2, 1], [0, 2, 63], [64, -64, -63]]
    np.testing.assert_array_equal(second_nearest(EXACT, HALF_RANGE), other)
    assert second_nearest(np.float32([63.9]), 63) == 63  # never beyond
    assert in_integers(np.float32([64.3]), HALF_RANGE, packed(np.ones(1, bool))) == 64


def test_bits_by_hand():
    chosen = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]], bool)
    bits = packed(chosen)
    assert list(bits) == [0b10000100, 0b10000000] and bits.dtype == np.uint8
    wanted = [[2, -1, 0], [-1, 2, 63], [64, -64, -63]]
    np.testing.assert_array_equal(in_integers(EXACT, HALF_RANGE, bits), wanted)
    np.testing.assert_array_equal(in_integers(EXACT, HALF_RANGE), np.round(EXACT))


@pytest.mark.parametrize(("weights", "size"), [(0, 0), (1, 1), (8, 1), (9, 2)])
def test_a_byte_holds_eight_bits(weights, size):
    assert packed_size(weights) == size == len(packed(np.ones(weights, bool)))


@pytest.mark.parametrize("size", [0, 1, 3])
def test_bits_of_another_kernel_are_refused(size):
    with pytest.raises(ValueError, match=f"{size} bytes of rounding bits for 9 weights"):
        in_integers(EXACT, HALF_RANGE, np.zeros(size, np.uint8))


@given(
    arrays(np.float32, (4, 5), elements=st.floats(-3, 3, width=32, allow_subnormal=False)),
    arrays(np.bool_, (4, 5)),
    st.sampled_from([FULL_RANGE, HALF_RANGE]),
)
def test_a_negative_factor_of_a_channel_negates_its_integers(kernel, chosen, reach):
    """As a folded batch normalization has it: nearest and second nearest stay what they are."""
    factors, bits = np.float32([[1], [-1], [4], [-0.5]]), packed(chosen)
    found = []
    for each in (kernel, kernel * factors):
        step = kernel_limits(each, (1,), reach) / np.float32(FULL_RANGE)
        found.append(in_integers(each / step, reach, bits))
        assert np.abs(found[-1]).max() <= reach
    if np.abs(kernel).max(axis=1).min() > 1e-6:  # else the channel is empty, its step another
        np.testing.assert_array_equal(found[1], found[0] * np.sign(factors))
