from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import resnet_cifar
from cnnkit.architectures.resnet_cifar import cifar_resnet
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

smallest = partial(cifar_resnet, 8)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("depth", "parameters", "multiplies"), [(20, 269_722, 40_551_040), (56, 853_018, 125_485_696)]
)
def test_counts_are_the_published_ones(
    depth: int, parameters: int, multiplies: int, residual: bool
) -> None:
    """0.27 and 0.85 million in the paper's table 6; the twins have exactly as many."""
    checks.check_counts(partial(cifar_resnet, depth, residual), parameters, multiplies)


@pytest.mark.parametrize(("depth", "parameters"), [(32, 464_154), (44, 658_586), (110, 1_727_962)])
def test_parameters_of_other_depths_are_the_papers(depth: int, parameters: int) -> None:
    """0.46, 0.66 and 1.7 million."""
    with variables_without_memory():
        model = cifar_resnet(depth)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == parameters


def test_stages_have_the_papers_sizes() -> None:
    stages = {
        "stem_activation": (32, 32, 16),
        "stage1_block3_output": (32, 32, 16),
        "stage2_block3_output": (16, 16, 32),
        "stage3_block3_output": (8, 8, 64),
        "features": (64,),
        "logits": (10,),
    }
    with variables_without_memory():
        checks.check_stages(resnet_cifar.resnet_20(), stages)


@pytest.mark.parametrize("depth", [2, 9, 21])
def test_a_depth_that_does_not_fit_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=f"`depth` must be 6n.*Received: depth={depth}"):
        cifar_resnet(depth)


def test_fewer_stages_for_smaller_images() -> None:
    model = cifar_resnet(10, input_shape=(8, 8, 1), classes=10, filters=(8, 16))
    assert model.get_layer("stage2_block2_output").output.shape == (None, 4, 4, 16)
    assert model.name == "resnet_10"


def test_a_shortcut_keeps_every_second_place_and_adds_channels_of_zeros() -> None:
    image = keras.Input((4, 4, 2))
    model = keras.Model(image, resnet_cifar.bare_shortcut(image, 4, 2, "block"))
    image = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
    found = np.asarray(model(image))
    np.testing.assert_array_equal(found[..., 1:3], image[:, ::2, ::2])
    assert (found[..., [0, 3]] == 0).all()


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(smallest)


@pytest.mark.parametrize("residual", [True, False])
def test_logits_are_finite_and_varied(residual: bool) -> None:
    checks.check_finite_and_varied(partial(smallest, residual))


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(smallest, tmp_path)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [pytest.param("mixed_float16", 0.02, marks=pytest.mark.slow), ("mixed_bfloat16", 0.1)],
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(smallest, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(smallest)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(smallest)
