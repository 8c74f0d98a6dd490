"""Receptive fields against brute force: which inputs a place of the output depends on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.lab.arithmetic import Field, Window, follow, parse_chain
from cnnkit.lab.arithmetic.windows import output_size

window = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))


def seen(places: list[set[int]], kernel: int, stride: int, before: int, dilation: int, size: int):
    """Return, for each output place, the inputs of the image that it depends on."""
    outputs = []
    for place in range(output_size(size, kernel, stride, (before, before), dilation)):
        taps = [place * stride - before + tap * dilation for tap in range(kernel)]
        outputs.append(set().union(*(places[tap] for tap in taps if 0 <= tap < size), set()))
    return outputs


@given(st.lists(window, min_size=1, max_size=4))
def test_the_box_is_what_a_place_depends_on(windows):
    side = 40
    places, field, size = [{n} for n in range(side)], Field(), side
    for kernel, stride, padding, dilation in windows:
        slid = Window((kernel, 1), (stride, 1), ((padding,) * 2, (0, 0)), (dilation, 1))
        field = field.through(slid, size, 1)
        places = seen(places, kernel, stride, padding, dilation, size)
        size = len(places)
    for place, inputs in enumerate(places):
        _, top, _, bottom = field.box(place, 0)
        within = [n for n in inputs if n is not None]
        if within:
            assert max(top, 0) <= min(within) and max(within) < min(bottom, side)
        if top >= 0 and bottom <= side:  # nothing of it is padding: both ends are seen
            assert (top, bottom - 1) == (min(within), max(within))


VGG_STAGES = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]


def test_vgg_16_sees_212_places_in_steps_of_32():
    """As "Computing Receptive Fields of Convolutional Neural Networks" lists it."""
    chain = []
    for filters, repeats in VGG_STAGES:
        chain += [f"conv {filters} 3x3 same"] * repeats + ["max 2x2"]
    rows = follow(parse_chain(chain), (224, 224, 3))
    assert (rows[-1].field.size, rows[-1].field.jump) == ((212, 212), (32, 32))
    assert [rows[n].field.size[0] for n in (0, 4, 8)] == [3, 14, 40]
    assert rows[-1].field.rows.low == -90  # the list's "padding"


@pytest.mark.parametrize(
    ("kernel", "padding", "box"), [(3, "same", (-1, 1, 2, 4)), (3, "valid", (0, 2, 3, 5))]
)
def test_box_of_a_place(kernel, padding, box):
    field = Field().through(Window((kernel, kernel), padding=padding), 9, 9)
    assert field.box(2, 0) == box


def test_joined_branches_see_what_either_sees():
    row = follow(parse_chain(["inception conv 2 1x1 | conv 2 5x5 same"]), (8, 8, 3))[0]
    assert row.field.size == (5, 5)
