from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import UsageError
from cnnkit.lab.arithmetic import (
    ChainError,
    follow,
    formulas,
    parse_chain,
    parse_shape,
    parse_size,
    totals,
)

# Layer, input, output, parameters, multiplies: each computed by hand.
HAND_COMPUTED = [
    ("conv 10 3x3", (39, 39, 3), (37, 37, 10), 280, 37 * 37 * 10 * 27),
    ("conv 6 5x5 no-bias", (32, 32, 3), (28, 28, 6), 450, 28 * 28 * 6 * 75),
    ("conv 20 5x5/2", (37, 37, 10), (17, 17, 20), 5020, 17 * 17 * 20 * 250),
    ("conv 4 3x3 same dilation 2", (9, 7, 2), (9, 7, 4), 76, 9 * 7 * 4 * 18),
    ("conv 8 3x3 groups 2", (5, 5, 4), (3, 3, 8), 152, 9 * 8 * 18),
    ("conv 8 3x5/2x1 pad 1", (9, 9, 1), (5, 7, 8), 128, 5 * 7 * 8 * 15),
    ("depthwise 3x3/2 pad 0,1,0,1", (8, 8, 5), (4, 4, 5), 50, 4 * 4 * 5 * 9),
    ("conv 32 1x1", (28, 28, 192), (28, 28, 32), 6176, 28 * 28 * 32 * 192),
    ("max 2x2", (5, 5, 3), (2, 2, 3), 0, 0),
    ("average 3x3/2 same", (5, 5, 3), (3, 3, 3), 0, 0),
    ("global-average", (7, 7, 512), (512,), 0, 0),
    ("pad 2", (6, 6, 1), (10, 10, 1), 0, 0),
    ("flatten", (7, 7, 40), (1960,), 0, 0),
    ("dense 10", (1960,), (10,), 19_610, 19_600),
    ("batchnorm", (4, 4, 6), (4, 4, 6), 12, 0),
    ("softmax", (10,), (10,), 0, 0),
    (
        "inception conv 2 1x1 | conv 3 1x1, conv 4 3x3 same",
        (4, 4, 5),
        (4, 4, 6),
        12 + 18 + 112,
        16 * (10 + 15 + 108),
    ),
]


@pytest.mark.parametrize(("text", "shape", "output", "parameters", "multiplies"), HAND_COMPUTED)
def test_a_layer(text, shape, output, parameters, multiplies):
    (row,) = follow(parse_chain([text]), shape)
    assert (row.output, row.parameters, row.multiplies) == (output, parameters, multiplies)


def value(formula: str) -> int:
    return eval(formula, {"floor": math.floor, "ceil": math.ceil, "__builtins__": {}})


@pytest.mark.parametrize(("text", "shape"), [case[:2] for case in HAND_COMPUTED])
def test_formulas_give_what_they_say(text, shape):
    (row,) = follow(parse_chain([text]), shape)
    for formula, size in formulas.size_formulas(row.layer, shape):
        assert value(formula) == size and size in row.output
    for formula, number in (
        (formulas.parameter_formula(row.layer, shape), row.parameters),
        (formulas.multiply_formula(row.layer, shape), row.multiplies),
        (formulas.dense_formula(row.layer, shape), formulas.dense_weights(row.layer, shape)),
    ):
        assert value(formula) == number if formula else not number


small = st.integers(1, 4)
convolutions = st.builds(
    "conv {}  {}x{}/{} {} dilation {}".format,
    *(small, small, small, small),
    st.sampled_from(["same", "valid", "pad 2", "pad 0 "]),
    small,
)


@given(convolutions, st.integers(13, 20), st.integers(13, 20), small)
def test_formulas_of_any_convolution_give_what_they_say(text, height, width, channels):
    (row,) = follow(parse_chain([text]), (height, width, channels))
    sizes = formulas.size_formulas(row.layer, row.input)
    assert [value(f) for f, _ in sizes] == [size for _, size in sizes]
    assert {size for _, size in sizes} == set(row.output[:2])
    assert value(formulas.parameter_formula(row.layer, row.input)) == row.parameters
    assert value(formulas.multiply_formula(row.layer, row.input)) == row.multiplies


def test_totals_are_the_sums():
    rows = follow(parse_chain(["conv 2 3x3", "flatten", "dense 3"]), (5, 5, 1))
    assert totals(rows) == {
        "parameters": 20 + 57,
        "multiplies": 162 + 54,
        "activations": 18 + 18 + 3,
    }


MISTAKES = [
    ("conv 20 5y5/2", "5y5/2", "the kernel must be HEIGHTxWIDTH"),
    ("conv twenty 5x5", "twenty", "the number of filters must be a whole number from 1"),
    ("conv 0 5x5", "0", "the number of filters must be a whole number from 1"),
    ("conv 9999999 5x5", "9999999", "from 1 to 1,000,000"),
    ("conv 20 5x0", "5x0", "the kernel must be"),
    ("conv 20 5x5/0", "5x5/0", "the kernel must be"),
    ("conv 20", "0", "the kernel must follow. Write it as: conv FILTERS"),
    ("cnov 20 5x5", "cnov", "Did you mean 'conv'?"),
    ("conv 20 5x5 sane", "sane", "'sane' is no option of conv"),
    ("max 2x2 groups 2", "groups", "'groups' is no option of max"),
    ("conv 20 5x5 pad 1,2", "1,2", "one number, or four"),
    ("conv 10 3x3 valid same", "same", "the padding must be one. Received: 'valid', then 'same'"),
    ("conv 10 3x3 same pad 2", "pad", "the padding must be one. Received: 'same', then 'pad'"),
    ("max 3x3 same same", "same", "the padding must be one. Received: 'same', then 'same'"),
    ("conv 4 3x3 dilation 2 dilation 3", "dilation", "dilation must be given once"),
    ("conv 4 3x3 groups 3 same groups 1", "groups", "groups must be given once"),
    ("conv 4 3x3 no-bias no-bias", "no-bias", "no-bias must be given once"),
    ("dense 3 4", "4", "'4' is no option of dense"),
    ("inception conv 2 1x1 | conv 2 3z3", "3z3", "the kernel must be"),
    ("inception conv 2 1x1 || conv 2 3x3", "|", "a branch must hold layers"),
    ("inception inception conv 2 1x1", " inception conv 2 1x1", "must not stand in another"),
    ("conv 5 50x50", "conv 5 50x50", "must fit into its input. Received: 50x50 over 39x39"),
    ("conv 4 3x3 groups 2", "conv 4 3x3 groups 2", "a multiple of the 2 groups. Received: 3"),
    ("dense 4", "dense 4", "Put flatten before it"),
    ("inception conv 2 3x3 | conv 2 1x1", "inception conv 2 3x3 | conv 2 1x1", "37x37, 39x39"),
]


@pytest.mark.parametrize(("text", "underlined", "told"), MISTAKES)
def test_a_mistake_is_pointed_at(text, underlined, told):
    with pytest.raises(ChainError) as refused:
        follow(parse_chain(["relu", text]), (39, 39, 3))
    error = refused.value
    assert told in str(error) and f'layer 2 ("{text}"): ' in str(error)
    assert error.position == 1
    assert text[error.start : error.end] == underlined


@given(st.lists(st.sampled_from("conv 3 3x3 /2 same pad 1,1,1,1 | , inception dense max".split())))
def test_any_words_give_a_chain_or_a_mistake(words):
    text = " ".join(words)
    try:
        follow(parse_chain([text]), (9, 9, 3))
    except ChainError as error:
        assert 0 <= error.start <= error.end <= len(text)


@pytest.mark.parametrize(("text", "shape"), [("39x39x3", (39, 39, 3)), ("28X20x1", (28, 20, 1))])
def test_shapes_are_read(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "3", "32x32", "3x3x3x3", "0x3x3", "-1x3", "3x", "1e3x3", "9999999x3"]
)
def test_other_shapes_are_refused(text):
    with pytest.raises(UsageError, match="`input_shape` must be HEIGHTxWIDTHxCHANNELS"):
        parse_shape(text)


def test_two_numbers_do_not_say_the_channels():
    with pytest.raises(UsageError, match="32x32x3 for color, 32x32x1 for grayscale"):
        parse_shape("32x32")


@pytest.mark.parametrize("text", ["3", "3x3x7", "3x0", "axb"])
def test_sizes_are_two_numbers(text):
    assert parse_size("3x5", "`kernel_size`") == (3, 5)
    with pytest.raises(UsageError, match="`kernel_size` must be HEIGHTxWIDTH"):
        parse_size(text, "`kernel_size`")


def test_an_endless_chain_is_refused():
    with pytest.raises(UsageError, match="at most 2,000 layers"):
        parse_chain(["relu"] * 2001)
