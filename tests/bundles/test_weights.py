"""Weights between a file and a network, 8-bit ones with their scales too."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnkit.bundles.weights import load_weights, save_weights
from cnnkit.errors import BundleError

KERNEL = np.array([[1, -2], [127, 4], [-127, 0]], np.int8)
SCALE = np.array([[0.5, 0.001]], np.float32)
BIAS = np.array([3, -1], np.float16)
STORED = {"dense/kernel": KERNEL, "dense/kernel:scale": SCALE, "dense/bias": BIAS}


def network() -> keras.Model:
    image = keras.Input((3,))
    return keras.Model(image, keras.layers.Dense(2, name="dense")(image))


def test_8_bit_weights_are_multiplied_by_their_scales(tmp_path: Path) -> None:
    save_file(STORED, tmp_path / "weights.safetensors")
    model = network()
    load_weights(model, tmp_path / "weights.safetensors")
    kernel, bias = (np.asarray(variable) for variable in model.weights)
    np.testing.assert_array_equal(kernel, KERNEL.astype(np.float32) * SCALE)
    np.testing.assert_array_equal(bias, [3, -1])


def test_saved_weights_are_read_as_they_are(tmp_path: Path) -> None:
    model, other = network(), network()
    save_weights(model, tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dense/kernel:scale": None}, r"have a scale of floats .* Received: none"),
        ({"dense/kernel:scale": SCALE[0]}, r"fits the shape \(3, 2\). Received: float32 \(2,\)"),
        ({"dense/kernel:scale": np.ones((3, 3), "f4")}, r"Received: float32 \(3, 3\)"),
        ({"dense/kernel:scale": np.ones((1, 2), "u1")}, r"Received: uint8 \(1, 2\)"),
        ({"dense/kernel:scale": SCALE * np.inf}, "must be finite"),
        ({"dense/bias:scale": np.ones(2, "f4")}, "must be 8-bit integers to have a scale"),
        ({"other:scale": SCALE}, "must hold only this network's weights. Received: 'other:scale'"),
        ({"dense/kernel": KERNEL[:2]}, r"must have the shape \(3, 2\). Received: \(2, 2\)"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], told: str
) -> None:
    kept = {name: values for name, values in (STORED | changes).items() if values is not None}
    save_file(kept, tmp_path / "weights.safetensors")
    with pytest.raises(BundleError, match=told):
        load_weights(network(), tmp_path / "weights.safetensors")
