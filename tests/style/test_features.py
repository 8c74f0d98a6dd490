from __future__ import annotations

import numpy as np
import pytest

from cnnkit.errors import BundleError, UsageError
from cnnkit.runtime import building_defaults
from cnnkit.style.features import (
    RECIPES,
    network_name,
    open_loss_network,
    with_average_pooling,
)


def test_the_embedded_network_gives_its_layers_at_any_size():
    network = open_loss_network()
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 96, 80, 3)).astype(np.float32)
    features = network.model(pixels)
    assert set(features) == {*network.recipe.content, *network.recipe.style}
    assert features["conv1_activation"].shape == (1, 48, 40, 64)
    assert features["fire3_join"].shape[-1] == 128
    assert not network.model.trainable_weights
    smallest = network.recipe.smallest
    small = network.model(np.zeros((1, smallest, smallest, 3), np.float32))
    assert min(min(f.shape[1:3]) for f in small.values()) >= 3


def test_the_embedded_network_is_that_of_the_classifier():
    from cnnkit.bundles import open_model

    whole = open_model("squeezenet-1.1").load()
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 227, 227, 3)).astype(np.float32)
    with building_defaults() as keras:
        inner = keras.Model(whole.inputs[0], whole.get_layer("conv1_activation").output)
    expected = inner(pixels)
    found = open_loss_network().model(pixels)["conv1_activation"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_poolings_become_averages_and_weights_stay():
    with building_defaults() as keras:
        image = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(2, 3, padding="same", name="conv")(image)
        x = keras.layers.MaxPooling2D(2, name="pool")(x)
        model = keras.Model(image, x)
        smooth = with_average_pooling(keras, model)
        middle = keras.Model(model.inputs[0], model.get_layer("conv").output)
    pixels = np.random.default_rng(3).normal(size=(1, 8, 8, 1)).astype(np.float32)
    features = np.asarray(middle(pixels))
    expected = features.reshape(1, 4, 2, 4, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(smooth(pixels), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["keras:vgg19", "KERAS:VGG19"])
def test_names_are_taken_in_any_case(name):
    assert network_name(name) == "keras:VGG19"


def test_an_unknown_network_is_refused():
    with pytest.raises(UsageError, match="`network` must be one of"):
        open_loss_network("keras:ResNet50")


@pytest.mark.slow
@pytest.mark.parametrize("include_top", [False, True])
def test_vgg_opens_from_a_file_with_or_without_its_dense_layers(include_top, tmp_path):
    with building_defaults() as keras:
        original = keras.applications.VGG16(weights=None, include_top=include_top)
        file = tmp_path / "vgg16.weights.h5"
        original.save_weights(file)
        pixels = np.random.default_rng(2).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
        prepared = keras.applications.vgg16.preprocess_input(pixels.copy())
        layer = original.get_layer("block1_conv1")
        expected = keras.Model(original.inputs[0], layer.output)(prepared)
    network = open_loss_network("keras:vgg16", str(file))
    assert set(network.model(pixels)) == {*RECIPES["keras:VGG16"].style, "block4_conv2"}
    found = network.model(pixels)["block1_conv1"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "wrong.weights.h5"
    file.write_bytes(b"no weights")
    with pytest.raises(BundleError, match="must hold the weights of keras:VGG16"):
        open_loss_network("keras:vgg16", str(file))
