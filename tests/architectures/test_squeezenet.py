from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures.squeezenet import squeezenet_1_1
from tests.architectures import builder_checks as checks


def test_counts_are_the_published_ones() -> None:
    """torchvision pads nothing, so it multiplies 0.349 billion times over 224x224."""
    checks.check_counts(squeezenet_1_1, 1_235_496, 0.353e9)


def test_shapes() -> None:
    checks.check_shapes(squeezenet_1_1, 227, features=512)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(squeezenet_1_1)


def test_logits_are_finite_and_varied() -> None:
    checks.check_finite_and_varied(squeezenet_1_1)


def test_dropout_works_in_training_only() -> None:
    checks.check_training_mode(squeezenet_1_1)


def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(squeezenet_1_1, tmp_path)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [pytest.param("mixed_float16", 0.02, marks=pytest.mark.slow), ("mixed_bfloat16", 0.1)],
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(squeezenet_1_1, policy, tolerance)


def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(squeezenet_1_1)


def test_layer_names_are_stable() -> None:
    written = Path(__file__).with_name("squeezenet-1.1.variables.txt")
    checks.check_layer_names(squeezenet_1_1, written)


def test_logits_may_be_negative() -> None:
    """The last convolution is linear: a rectified one would stop half of the gradients."""
    model = checks.spread_weights(squeezenet_1_1(input_shape=checks.SMALL, classes=50))
    assert (np.asarray(model(checks.images())) < 0).any()
