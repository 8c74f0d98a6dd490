from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures import builder, vgg
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

PUBLISHED = [
    ("vgg-11", 132_863_336, 7.609e9),
    ("vgg-13", 133_047_848, 11.308e9),
    ("vgg-16", 138_357_544, 15.470e9),
    ("vgg-19", 143_667_240, 19.632e9),
]


@pytest.fixture(autouse=True)
def small_hidden_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests of what does not depend on it stay cheap."""
    monkeypatch.setattr(vgg, "HIDDEN", 64)


@pytest.mark.parametrize(("name", "parameters", "multiplies"), PUBLISHED)
def test_counts_are_the_published_ones(
    name: str, parameters: int, multiplies: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    checks.check_counts(builder(name), parameters, multiplies)


@pytest.mark.parametrize(("name", "parameters"), [("vgg-16", 14_714_688), ("vgg-19", 20_024_384)])
def test_convolutions_have_the_published_parameters(name: str, parameters: int) -> None:
    with variables_without_memory():
        model = builder(name)(include_top=False)
    assert model.count_params() == parameters


@pytest.mark.parametrize(
    ("name", "last"), [("vgg-11", (1, 1, 2, 2, 2)), ("vgg-19", (2, 2, 4, 4, 4))]
)
def test_it_pools_after_each_block_and_nowhere_else(name: str, last: tuple[int, ...]) -> None:
    """One write-up of the course lets it pool after each convolution."""
    with variables_without_memory():
        model = builder(name)()
    sizes = [(112, 64), (56, 128), (28, 256), (14, 512), (7, 512)]
    stages = {}
    for block, (repeats, (side, filters)) in enumerate(zip(last, sizes, strict=True), start=1):
        stages[f"block{block}_conv{repeats}"] = (2 * side, 2 * side, filters)
        stages[f"block{block}_pool"] = (side, side, filters)
    checks.check_stages(model, stages | {"flatten": (25_088,), "logits": (1000,)})
    assert sum("pool" in layer.name for layer in model.layers) == 5


def test_features_come_from_any_size() -> None:
    model = vgg.vgg_11(input_shape=(None, None, 3), include_top=False)
    assert model(np.zeros((1, 40, 71, 3))).shape == (1, 512)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(vgg.vgg_11)


def test_logits_are_finite_and_varied() -> None:
    checks.check_finite_and_varied(vgg.vgg_16)


@pytest.mark.slow
def test_dropout_works_in_training_only() -> None:
    checks.check_training_mode(vgg.vgg_11)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(vgg.vgg_11, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)]
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(vgg.vgg_11, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(vgg.vgg_11)


def test_layer_names_are_stable() -> None:
    with variables_without_memory():
        checks.check_layer_names(vgg.vgg_16)
