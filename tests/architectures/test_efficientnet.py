from __future__ import annotations

from pathlib import Path

import pytest

from cnnkit.architectures import builder, efficientnet
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

lite0 = efficientnet.efficientnet_lite0
# A member with deeper and wider stages, for what takes long: small input, same code.
lite2 = efficientnet.efficientnet_lite2

# The authors count neither moving averages among the parameters, nor the weights' multiplies
# alone: their numbers have three operations more for each value that is normalized.
PUBLISHED = [
    ("efficientnet-lite0", 4_652_008, 385_187_552, 407e6, 224),
    ("efficientnet-lite1", 5_416_680, 600_185_232, 631e6, 240),
    ("efficientnet-lite2", 6_092_072, 859_736_272, 899e6, 260),
    ("efficientnet-lite3", 8_197_096, 1_383_321_872, 1.44e9, 280),
    ("efficientnet-lite4", 13_006_568, 2_553_034_336, 2.64e9, 300),
]


@pytest.mark.parametrize(("name", "parameters", "multiplies", "published", "size"), PUBLISHED)
def test_counts_are_the_published_ones(
    name: str, parameters: int, multiplies: int, published: float, size: int
) -> None:
    rows = checks.check_counts(builder(name), parameters, multiplies)
    normalized = sum(row.activations for row in rows if row.kind == "BatchNormalization")
    assert multiplies + 3 * normalized == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", pytest.param("efficientnet-lite3", marks=pytest.mark.slow)]
)
def test_shapes(name: str) -> None:
    size = {name: size for name, *_, size in PUBLISHED}[name]
    checks.check_shapes(builder(name), size, features=1280)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(lite0)


@pytest.mark.parametrize("build", [lite0, pytest.param(lite2, marks=pytest.mark.slow)])
def test_logits_are_finite_and_varied(build: checks.Builder) -> None:
    checks.check_finite_and_varied(build)


@pytest.mark.slow
def test_dropout_works_in_training_only() -> None:
    checks.check_training_mode(lite0)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(lite0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)]
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(lite0, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(lite0)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(lite0, Path(__file__).with_name("efficientnet-lite0.variables.txt"))


def test_stem_and_head_stay_unscaled() -> None:
    with variables_without_memory():
        lite4 = efficientnet.efficientnet_lite4(input_shape=checks.SMALL)
    assert lite4.get_layer("stem_conv").filters == 32
    assert lite4.get_layer("head_conv").filters == 1280
    assert "stage1_block2_filter_depthwise" not in {layer.name for layer in lite4.layers}


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [(32, 1.0, 32), (24, 1.1, 24), (40, 1.1, 48), (80, 1.2, 96), (16, 1.4, 24), (8, 0.1, 8)],
)
def test_scaled_filters_are_multiples_of_8(filters: int, width: float, expected: int) -> None:
    assert efficientnet.scaled_filters(filters, width) == expected
