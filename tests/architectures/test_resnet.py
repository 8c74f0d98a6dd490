from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import builder, resnet
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

# Basic blocks and bottlenecks: the deeper members are the same code, repeated more often.
SMALLEST = [
    resnet.resnet_18,
    pytest.param(resnet.resnet_50, marks=pytest.mark.slow),
    resnet.plain_18,
]

# As torchvision counts: kernels without biases, scales and shifts, no moving averages.
PUBLISHED = [
    ("resnet-18", 11_689_512, 1.814e9),
    ("resnet-34", 21_797_672, 3.664e9),
    ("resnet-50", 25_557_032, 4.089e9),
    ("resnet-101", 44_549_160, 7.801e9),
    ("resnet-152", 60_192_808, 11.514e9),
]


@pytest.mark.parametrize(("name", "parameters", "multiplies"), PUBLISHED[:3])
def test_counts_are_the_published_ones(name: str, parameters: int, multiplies: float) -> None:
    checks.check_counts(builder(name), parameters, multiplies)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters", "multiplies"), PUBLISHED[3:])
def test_counts_of_the_deep_ones_are_the_published_ones(
    name: str, parameters: int, multiplies: float
) -> None:
    checks.check_counts(builder(name), parameters, multiplies)


def test_the_papers_stride_multiplies_less() -> None:
    """3.858 billion, the paper's "3.8": with the stride in the 1x1, as Keras has it as well."""
    checks.check_counts(resnet.resnet_50, 25_557_032, 3.858e9, stride_in="1x1")


def test_a_plain_twin_lacks_nothing_but_the_skips() -> None:
    with variables_without_memory():
        residual, plain = resnet.resnet_18(), resnet.plain_18()
    kept = [layer for layer in residual.layers if not layer.name.endswith("_add")]
    kept = [layer for layer in kept if "_shortcut_" not in layer.name]
    assert [layer.name for layer in kept] == [layer.name for layer in plain.layers]
    projections = residual.count_params() - plain.count_params()
    assert projections == sum(
        i * o + 4 * o for i, o in ((64, 128), (128, 256), (256, 512))
    )  # kernels, and four numbers a channel of batch normalization


def test_zero_weights_make_a_block_the_identity() -> None:
    """a[l+2] = g(z[l+2] + a[l]), and z[l+2] = 0: a ReLU leaves what another ReLU gave."""
    image = keras.Input((6, 6, 64))
    block = resnet.block(image, 64, 1, "block", resnet.VARIANTS["resnet_18"], "3x3")
    model = checks.spread_weights(keras.Model(image, block))
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.gamma.assign(np.zeros(64))
            layer.beta.assign(np.zeros(64))
    before = np.maximum(np.random.default_rng(3).normal(size=(2, 6, 6, 64)), 0)
    np.testing.assert_allclose(model(before), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "expansion"), [("resnet-18", 1), ("resnet-50", 4)])
def test_stages_have_the_papers_sizes(name: str, expansion: int) -> None:
    last = {1: (2, 2, 2, 2), 4: (3, 4, 6, 3)}[expansion]
    stages = {
        f"stage{number}_block{last[number - 1]}_output": (side, side, filters * expansion)
        for number, (side, filters) in enumerate(
            [(56, 64), (28, 128), (14, 256), (7, 512)], start=1
        )
    }
    stem = {"stem_conv": (112, 112, 64), "stem_pool": (56, 56, 64)}
    with variables_without_memory():
        model = builder(name)()
    checks.check_stages(model, stem | stages | {"features": (512 * expansion,)})


def test_shapes() -> None:
    checks.check_shapes(resnet.resnet_18, 224, features=512)
    with variables_without_memory():
        assert resnet.resnet_50(include_top=False).output_shape == (None, 2048)


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_the_stride_stands_where_it_is_asked_for(stride_in: str) -> None:
    with variables_without_memory():
        model = resnet.resnet_50(input_shape=checks.SMALL, stride_in=stride_in)
    strided = "reduce" if stride_in == "1x1" else "filter"
    for part in ("reduce", "filter", "restore"):
        strides = model.get_layer(f"stage2_block1_{part}_conv").strides
        assert strides == ((2, 2) if part == strided else (1, 1))


def test_another_stride_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`stride_in` must be .* Received: '5x5'"):
        resnet.resnet_50(stride_in="5x5")


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(resnet.resnet_18)


@pytest.mark.parametrize("build", SMALLEST)
def test_logits_are_finite_and_varied(build: checks.Builder) -> None:
    checks.check_finite_and_varied(build)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(resnet.resnet_18, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)]
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(resnet.resnet_18, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(resnet.resnet_18)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(resnet.resnet_18)
