from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.lab.arithmetic import Window, output_size, same_padding

sizes = st.integers(1, 40)
small = st.integers(1, 7)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "expected"),
    [
        (6, 3, 1, (0, 0), 1, 4),
        (6, 3, 1, (1, 1), 1, 6),
        (7, 3, 2, (0, 0), 1, 3),
        (39, 3, 1, (0, 0), 1, 37),
        (37, 5, 2, (0, 0), 1, 17),
        (17, 5, 2, (0, 0), 1, 7),
        (224, 7, 2, (3, 3), 1, 112),
        (7, 3, 1, (0, 0), 2, 3),
        (2, 3, 1, (0, 0), 1, 0),
        (6, 2, 2, (0, 0), 1, 3),
        (5, 2, 2, (0, 0), 1, 2),  # the last place is left out: floor
    ],
)
def test_output_size(size, kernel, stride, padding, dilation, expected):
    assert output_size(size, kernel, stride, padding, dilation) == expected


@given(sizes, small, small, st.tuples(small, small), small)
def test_output_size_counts_the_places_where_the_window_fits(
    size, kernel, stride, padding, dilation
):
    first, last = -padding[0], size + padding[1] - 1
    starts = range(first, last + 1, stride)
    fitting = [start for start in starts if start + dilation * (kernel - 1) <= last]
    assert output_size(size, kernel, stride, padding, dilation) == len(fitting)


@given(sizes, small, small, small)
def test_same_padding_gives_the_size_over_the_stride_rounded_up(size, kernel, stride, dilation):
    padding = same_padding(size, kernel, stride, dilation)
    assert output_size(size, kernel, stride, padding, dilation) == -(-size // stride)
    assert 0 <= padding[1] - padding[0] <= 1


@given(sizes, st.sampled_from([1, 3, 5, 7]))
def test_same_padding_of_stride_1_is_half_the_kernel(size, kernel):
    assert same_padding(size, kernel) == ((kernel - 1) // 2, (kernel - 1) // 2)


@settings(max_examples=15)
@given(st.integers(2, 40), small, small, small)
def test_same_padding_is_that_of_keras(size, kernel, stride, dilation):
    """Keras refuses strides together with dilation, so one of them is 1."""
    from keras import layers

    dilation = 1 if stride > 1 else dilation
    layer = layers.Conv2D(1, kernel, stride, "same", dilation_rate=dilation)
    window = Window((kernel,) * 2, (stride,) * 2, "same", (dilation,) * 2)
    assert layer.compute_output_shape((1, size, size + 1, 3))[1:3] == window.output(size, size + 1)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window((3, 3)), "3x3"),
        (Window((5, 3), (2, 2), "same"), "5x3/2 same"),
        (Window((3, 3), (2, 1), ((1, 1), (1, 1))), "3x3/2x1 pad 1"),
        (Window((3, 3), (1, 1), ((0, 1), (2, 3)), (2, 2)), "3x3 pad 0,1,2,3 dilation 2"),
    ],
)
def test_spelling(window, text):
    assert str(window) == text
