from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import lenet_1998
from cnnkit.architectures.lenet_1998 import lenet_5_1998
from tests.architectures import builder_checks as checks


def test_counts_are_the_papers() -> None:
    """Trained are exactly 60,000; of 60,840 parameters 840 are the fixed codes."""
    checks.check_counts(lenet_5_1998, 60_000, 328_096)
    assert lenet_5_1998().count_params() == 60_840


# Layers, and the trainable parameters that the paper's section II.B gives them.
PAPER = [
    (("conv1",), 156),
    (("pool1_scale",), 12),
    (("conv2_three", "conv2_four", "conv2_six"), 1_516),
    (("pool2_scale",), 32),
    (("hidden1",), 48_120),
    (("hidden2",), 10_164),
]


@pytest.fixture(scope="module")
def whole() -> keras.Model:
    return lenet_5_1998()


@pytest.mark.parametrize(("names", "parameters"), PAPER)
def test_each_layer_has_the_papers_parameters(
    whole: keras.Model, names: tuple[str, ...], parameters: int
) -> None:
    assert sum(whole.get_layer(name).count_params() for name in names) == parameters


def test_stages_have_the_papers_sizes() -> None:
    stages = {
        "conv1": (28, 28, 6),
        "pool1": (14, 14, 6),
        "conv2": (10, 10, 16),
        "pool2": (5, 5, 16),
        "hidden1": (120,),
        "features": (84,),
        "logits": (10,),
    }
    checks.check_stages(lenet_5_1998(), stages)
    assert lenet_5_1998(input_shape=(40, 36, 3), classes=7).output_shape == (None, 7)


def test_every_map_is_seen_by_ten_filters() -> None:
    """Table I has ten crosses in each row."""
    tables = lenet_1998.NEIGHBORING_THREE + lenet_1998.FOUR + lenet_1998.ALL_SIX
    seen = [number for table in tables for number in table]
    assert len(tables) == 16 and [seen.count(number) for number in range(6)] == [10] * 6


def test_the_score_is_minus_the_squared_distance_to_the_code() -> None:
    model = checks.spread_weights(lenet_5_1998(include_top=False, input_shape=checks.SMALL))
    whole = lenet_5_1998(input_shape=checks.SMALL, classes=3)
    for variable, value in zip(whole.trainable_weights, model.trainable_weights, strict=True):
        variable.assign(value)
    features, logits = np.asarray(model(checks.images())), np.asarray(whole(checks.images()))
    codes = np.array(lenet_1998.codes(3))
    expected = -((features[:, :, None] - codes[None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(logits, expected, rtol=1e-4)


def test_codes_are_the_same_every_time_and_no_two_alike() -> None:
    codes = np.array(lenet_1998.codes(100))
    assert codes.shape == (84, 100) and set(codes.ravel()) == {-1.0, 1.0}
    assert np.abs(np.triu(codes.T @ codes, 1)).max() < 60
    assert "".join("+" if code > 0 else "-" for code in codes[:8, 0]) == "--++-+-+"


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 32x32. Received: input_shape=\(28, 28, 1\)"):
        lenet_5_1998(input_shape=(28, 28, 1))


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(lenet_5_1998)


def test_logits_are_finite_and_varied() -> None:
    checks.check_finite_and_varied(lenet_5_1998)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(lenet_5_1998, tmp_path)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [pytest.param("mixed_float16", 0.02, marks=pytest.mark.slow), ("mixed_bfloat16", 0.2)],
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    """Squared distances of 170 whose differences are 10: bfloat16 keeps them to 1 in 256."""
    checks.check_mixed_precision(lenet_5_1998, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(lenet_5_1998)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(partial(lenet_5_1998, input_shape=(32, 32, 1)))
