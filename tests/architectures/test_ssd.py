from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnkit.architectures.efficientnet import efficientnet_lite0
from cnnkit.architectures.localizer import localizer_lite0
from cnnkit.architectures.ssd import ssd_lite0
from tests.architectures import builder_checks as checks

SHAPE = (96, 96, 3)


@pytest.fixture(scope="module")
def ssd() -> keras.Model:
    return checks.spread_weights(ssd_lite0(input_shape=SHAPE, classes=4))


def test_heads_have_boxes_background_and_classes(ssd: keras.Model) -> None:
    shapes = {name: tuple(output.shape) for name, output in ssd.output.items()}
    assert shapes == {
        "stride16": (None, 6, 6, 54),
        "stride32": (None, 3, 3, 54),
        "stride64": (None, 2, 2, 54),
        "stride128": (None, 1, 1, 54),
    }


def test_outputs_are_finite_and_depend_on_the_image(ssd: keras.Model) -> None:
    outputs = ssd(checks.images(2, 96))
    for output in outputs.values():
        values = np.asarray(output)
        assert np.isfinite(values).all()
        assert np.abs(values[0] - values[1]).max() > 1e-3


def test_backbones_are_those_of_the_embedded_weights(ssd: keras.Model) -> None:
    backbone = {v.path: tuple(v.shape) for v in efficientnet_lite0().weights}
    for model in (ssd, localizer_lite0(classes=3)):
        own = {v.path: tuple(v.shape) for v in model.weights}
        shared = own.keys() & backbone.keys()
        assert all(own[path] == backbone[path] for path in shared)
        stages = {path for path in backbone if path.startswith(("stem", "stage"))}
        assert stages <= shared


def test_the_localizer_gives_one_class_and_one_box() -> None:
    model = checks.spread_weights(localizer_lite0(input_shape=SHAPE, classes=3))
    outputs = model(checks.images(2, 96))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "classes": (2, 3),
        "box": (2, 4),
    }
    assert np.isfinite(np.asarray(outputs["box"])).all()


@pytest.mark.slow
def test_it_saves_and_loads(ssd: keras.Model, tmp_path) -> None:
    ssd.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    image = checks.images(1, 96)
    for name, output in ssd(image).items():
        np.testing.assert_allclose(loaded(image)[name], output, atol=1e-4)
