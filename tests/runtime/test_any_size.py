"""Networks of any size and several inputs: every engine gives what Keras itself gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from cnnkit.runtime import ModelSource, RuntimeOptions, any_size_network


def two_inputs() -> keras.Model:
    """A convolution of the image, shifted by what the other input says."""
    image = keras.Input((None, None, 3), name="image")
    style = keras.Input((2,), name="style")
    x = layers.Conv2D(2, 3, padding="same", name="conv")(image)
    x = x + layers.Reshape((1, 1, 2), name="shift")(style)
    return keras.Model([image, style], {"mapped": x, "style_again": style * 2.0})


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    return two_inputs()


@pytest.fixture(scope="module", params=["openvino", "tensorflow", "xla"])
def network(request, model):
    source = ModelSource("two", f"two inputs {request.param}", (1, 1, 3), lambda precision: model)
    return any_size_network(source, RuntimeOptions("cpu", request.param, "float32"))


@pytest.mark.parametrize("size", [(1, 5, 7), (2, 16, 9)])
def test_every_engine_gives_what_keras_gives(network, model, size) -> None:
    count = size[0]
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    style = np.random.default_rng(2).normal(size=(count, 2)).astype(np.float32)
    expected = model([image.astype(np.float32), style])
    found = network.run(image, style=style)
    assert sorted(found) == ["mapped", "style_again"]
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], np.asarray(value), rtol=1e-4, atol=2e-2)
    assert (network.device, network.precision) == ("cpu", "float32")


def test_an_earlier_result_stays_as_it_was(network) -> None:
    style = np.zeros((1, 2), np.float32)
    first = network.run(np.full((1, 4, 4, 3), 200, np.uint8), style=style)["mapped"]
    kept = first.copy()
    network.run(np.zeros((1, 4, 4, 3), np.uint8), style=style)
    np.testing.assert_array_equal(first, kept)
