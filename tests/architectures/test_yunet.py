from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures.yunet import HEAD_CHANNELS, yunet
from tests.architectures import builder_checks as checks


def test_heads_of_any_size() -> None:
    model = yunet()
    assert model.count_params() == 53_104
    heads = checks.heads_of(model, np.zeros((2, 96, 64, 3), np.float32))
    assert {name: values.shape for name, values in heads.items()} == {
        "stride8": (2, 12, 8, HEAD_CHANNELS),
        "stride16": (2, 6, 4, HEAD_CHANNELS),
        "stride32": (2, 3, 2, HEAD_CHANNELS),
    }


def test_a_side_that_is_no_multiple_of_32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32. Received: \(640, 360, 3\)"):
        yunet((640, 360, 3))


def test_a_coarse_cell_repeats_into_four_finer_ones() -> None:
    """The neck enlarges by repetition, not by lines between the cells."""
    coarse = yunet((64, 64, 3)).get_layer("up16")
    values = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(
        np.asarray(coarse(values))[0, ..., 0],
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
    )


def test_half_precision_inside_and_float32_out() -> None:
    checks.check_heads_in_mixed_bfloat16(yunet)


def test_layer_names_are_stable() -> None:
    checks.check_variables(yunet, Path(__file__).with_name("yunet.variables.txt"))
