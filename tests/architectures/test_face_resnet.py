from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures.face_resnet import face_resnet_v1
from tests.architectures import builder_checks as checks


def test_sizes_are_those_of_the_original() -> None:
    """150 -> 72 -> 35 -> 17 -> 8 -> 4 -> 2, and 29 convolutions."""
    model = face_resnet_v1()
    assert model.count_params() == 5_607_488
    assert model.output_shape == (None, 128)
    names = ("stem_conv", "stem_pool", *(f"stage{number}_down_add" for number in (2, 3, 4, 5)))
    sides = [model.get_layer(name).output.shape[1] for name in names]
    assert sides == [72, 35, 17, 8, 4, 2]
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 29


def test_missing_rows_and_channels_are_zeros() -> None:
    model = checks.spread_weights(face_resnet_v1())
    taps = keras.Model(
        model.input,
        [model.get_layer(name).output for name in ("stage4_down_pad", "stage2_down_widen")],
    )
    padded, widened = map(np.asarray, taps(checks.images(1, 150)))
    assert padded.shape == (1, 4, 4, 256)
    assert not padded[:, 3].any() and not padded[:, :, 3].any() and padded[:, :3, :3].any()
    assert widened.shape == (1, 17, 17, 64)
    assert widened[..., :32].any() and not widened[..., 32:].any()


def test_layer_names_are_stable() -> None:
    written = Path(__file__).with_name("face-resnet-v1.variables.txt")
    checks.check_variables(face_resnet_v1, written)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    model = checks.spread_weights(face_resnet_v1())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    image = checks.images(1, 150)
    np.testing.assert_allclose(loaded(image), model(image), rtol=0, atol=1e-5)
