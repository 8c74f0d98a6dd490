from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import nanodet
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks


def small(**arguments) -> keras.Model:
    return nanodet.nanodet_g(**{"input_shape": checks.SMALL, "classes": 3} | arguments)


def test_heads_of_any_class_count_and_size() -> None:
    with variables_without_memory():
        model = nanodet.nanodet_g()
    assert model.count_params() == 3_786_068
    shapes = {name: t.shape[1:] for name, t in model.output.items()}
    assert shapes == {
        "stride8": (52, 52, 124),
        "stride16": (26, 26, 124),
        "stride32": (13, 13, 124),
    }
    fixed = checks.spread_weights(small(input_shape=(96, 64, 3), classes=1))
    open_size = small(input_shape=(None, None, 3), classes=1)
    open_size.set_weights(fixed.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 64, 3)).astype(np.float32)
    heads, heads_of_fixed = checks.heads_of(open_size, images), checks.heads_of(fixed, images)
    assert [heads[f"stride{s}"].shape for s in (8, 16, 32)] == [
        (2, 12, 8, 45),
        (2, 6, 4, 45),
        (2, 3, 2, 45),
    ]
    for name, values in heads_of_fixed.items():
        np.testing.assert_allclose(heads[name], values, atol=1e-5 * np.abs(values).max())


def test_a_side_that_is_no_multiple_of_32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32. Received: \(416, 400, 3\)"):
        nanodet.nanodet_g(input_shape=(416, 400, 3))


def test_the_pooling_never_takes_its_border_for_an_activation() -> None:
    """Where everything is negative, zeros beside it would be the highest."""
    values = -np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4, 1)
    image = keras.Input((4, 4, 1))
    pooled = keras.Model(image, nanodet._pooled(image))
    np.testing.assert_array_equal(np.asarray(pooled(values))[0, ..., 0], [[-1, -2], [-5, -6]])


def test_half_precision_inside_and_float32_out() -> None:
    checks.check_heads_in_mixed_bfloat16(small)


def test_layer_names_are_stable() -> None:
    checks.check_variables(nanodet.nanodet_g, Path(__file__).with_name("nanodet-g.variables.txt"))


def test_decoding_by_hand() -> None:
    """Second row, third column: one cell to the left, none up, 2.5 right, 5 down."""
    raw = np.zeros((1, 2, 3, 2 + 4 * nanodet.BINS), np.float32)
    sides = np.full((4, nanodet.BINS), -40.0, np.float32)
    sides[0, 1] = sides[1, 0] = sides[2, 2] = sides[2, 3] = 0
    sides[3] = 0  # equally likely: 5 in the mean
    raw[0, 1, 2] = np.concatenate([[1.5, -1], sides.ravel()])
    boxes, classes = nanodet.decode_head(raw, 16)
    assert boxes.shape == (1, 2, 3, 4)
    x, y = 2.5 * 16, 1.5 * 16
    np.testing.assert_allclose(boxes[0, 1, 2], [x - 16, y, x + 40, y + 80], rtol=1e-6)
    np.testing.assert_array_equal(classes[0, 1, 2], [1.5, -1])
