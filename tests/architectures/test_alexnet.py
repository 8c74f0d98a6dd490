from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import alexnet, blocks, builder
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks

# Two groups: the paper's "60 million". Ungrouped: as the pytorchcv tables count it. The trick's:
# torchvision's.
PUBLISHED = [
    ("alexnet", 60_965_224, 0.724e9),
    ("alexnet-ungrouped", 62_378_344, 1.135e9),
    ("alexnet-one-weird-trick", 61_100_840, 0.714e9),
]


@pytest.fixture(autouse=True)
def smallest_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first convolution takes steps of 4: nothing is left of 64x64."""
    monkeypatch.setattr(checks, "SMALL", (alexnet.SMALLEST, alexnet.SMALLEST, 3))
    monkeypatch.setattr(alexnet, "HIDDEN", 64)


@pytest.mark.parametrize(("name", "parameters", "multiplies"), PUBLISHED)
def test_counts_are_the_published_ones(
    name: str, parameters: int, multiplies: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    checks.check_counts(builder(name), parameters, multiplies)


def test_stages_have_the_papers_sizes() -> None:
    with variables_without_memory():
        model = alexnet.alexnet()
    stages = {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "flatten": (9216,),
        "logits": (1000,),
    }
    checks.check_stages(model, stages)


def test_features_come_from_any_size() -> None:
    model = alexnet.alexnet(input_shape=(None, None, 3), include_top=False)
    assert model(np.zeros((1, 90, 71, 3))).shape == (1, 256)


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 67x67 for alexnet. Received: .*\(66, 90, 3\)"):
        alexnet.alexnet(input_shape=(66, 90, 3))


def test_local_response_is_the_papers() -> None:
    """Each value over its own and its neighbors' strength, computed here value by value."""
    image = keras.Input((1, 1, 7))
    model = keras.Model(image, blocks.local_response(image, 2.0, 1e-2))
    a = np.random.default_rng(5).normal(0, 9, 7)
    expected = [
        a[i] / (2 + 1e-2 * sum(a[j] ** 2 for j in range(max(0, i - 2), min(7, i + 3)))) ** 0.75
        for i in range(7)
    ]
    found = np.asarray(model(a.reshape(1, 1, 1, 7)))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(alexnet.alexnet)


@pytest.mark.parametrize("build", [alexnet.alexnet, alexnet.alexnet_one_weird_trick])
def test_logits_are_finite_and_varied(build: checks.Builder) -> None:
    checks.check_finite_and_varied(build)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(alexnet.alexnet, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)]
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(alexnet.alexnet, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(alexnet.alexnet)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(alexnet.alexnet)
