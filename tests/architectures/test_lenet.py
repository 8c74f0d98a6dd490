from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures.lenet import lenet_5
from tests.architectures import builder_checks as checks

GRAY = (32, 32, 1)


def test_counts_are_the_published_ones() -> None:
    """156 + 2,416 in the convolutions, 48,120 + 10,164 + 850 in the dense layers."""
    checks.check_counts(lenet_5, 61_706, 416_520)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (None, 10)),
        ({"classes": 7}, (None, 7)),
        ({"include_top": False}, (None, 84)),
        ({"input_shape": (28, 40, 3)}, (None, 10)),
    ],
)
def test_shapes(arguments: dict, shape: tuple) -> None:
    model = lenet_5(**arguments)
    assert model.input_shape == (None, *arguments.get("input_shape", GRAY))
    assert model.output_shape == shape


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv1", (28, 28, 6)),
        ("pool1", (14, 14, 6)),
        ("conv2", (10, 10, 16)),
        ("pool2", (5, 5, 16)),
    ],
)
def test_maps_have_the_papers_sizes(layer: str, shape: tuple) -> None:
    assert lenet_5().get_layer(layer).output.shape == (None, *shape)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(lenet_5)


def test_gray_pixels_have_the_papers_range() -> None:
    model = lenet_5()
    seen = keras.Model(model.input, model.get_layer("normalise").output)
    ends = [float(np.max(seen(np.full((1, *GRAY), value)))) for value in (0.0, 255.0)]
    assert ends == pytest.approx([-0.1, 1.175], abs=1e-6)


def test_logits_are_finite_and_varied() -> None:
    checks.check_finite_and_varied(lenet_5)


def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(lenet_5, tmp_path)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [pytest.param("mixed_float16", 0.02, marks=pytest.mark.slow), ("mixed_bfloat16", 0.1)],
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(lenet_5, policy, tolerance)


def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(lenet_5)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(partial(lenet_5, input_shape=GRAY))
