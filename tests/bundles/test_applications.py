"""keras.applications by name: the table against Keras's own, preprocessing, downloads."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from cnnkit.bundles import applications, open_model
from cnnkit.bundles.applications import (
    APPLICATIONS,
    application_name,
    build_application,
    input_spec,
    installed,
)
from cnnkit.errors import BundleError, UsageError


@pytest.fixture(scope="module")
def keras():
    from cnnkit.runtime import import_keras

    return import_keras()


def test_the_table_is_keras_own(keras):
    own = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and name[0].isupper()
    }
    assert set(APPLICATIONS) == own
    for application in APPLICATIONS.values():
        assert callable(getattr(keras.applications, application.module).preprocess_input)


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_input_size_is_keras_own(keras, name):
    with keras.StatelessScope(initialize_variables=False):  # shapes without memory
        model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    size = APPLICATIONS[name].size
    assert model.input_shape[1:] in ((size, size, 3), (None, None, 3))
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize(
    ("model", "name"), [("keras:mobilenetv2", "MobileNetV2"), ("keras:vgg-16", "VGG16")]
)
def test_names_in_any_spelling(model, name):
    assert application_name(model) == name


def test_an_unknown_name_is_helped():
    with pytest.raises(UsageError, match="Did you mean 'keras:ResNet50V2'"):
        application_name("keras:resnet50v")


def test_a_network_of_a_newer_keras_is_found_in_it(keras, monkeypatch):
    was = APPLICATIONS["MobileNetV2"]
    monkeypatch.delitem(APPLICATIONS, "MobileNetV2")  # as if the table were older
    installed.cache_clear()
    try:
        assert application_name("keras:mobilenetv2") == "MobileNetV2"
        assert installed() == {"MobileNetV2": was}
        assert input_spec("MobileNetV2").size == (224, 224)
    finally:
        installed.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small"])
def test_weights_from_a_file_with_the_familys_own_preprocessing(keras, tmp_path, name):
    original = getattr(keras.applications, name)(weights=None)
    path = tmp_path / "own.weights.h5"
    original.save_weights(path)
    bundle = open_model(f"keras:{name}", weights=str(path))
    assert len(bundle.labels) == 1000 and bundle.labels[1] == "goldfish"
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.float32)
    scores = np.asarray(bundle.build()(pixels)["scores"])
    module = getattr(keras.applications, APPLICATIONS[name].module)
    expected = original.predict(module.preprocess_input(pixels.copy()), verbose=0)
    shifted = np.exp(scores - scores.max())
    np.testing.assert_allclose(shifted / shifted.sum(), expected, atol=1e-5)


def test_weights_that_do_not_fit_are_refused_in_one_line(keras, tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(BundleError, match="must hold the weights of keras:MobileNet") as caught:
        open_model("keras:MobileNet", weights=str(path)).build()
    assert "\n" not in str(caught.value)


def test_without_a_network_one_line_says_what_was_tried(keras, monkeypatch):
    def no_network(*arguments, **named):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    with pytest.raises(BundleError, match=r"download failed.*`weights`") as caught:
        build_application(keras, "MobileNet", None)
    assert "\n" not in str(caught.value)


def test_a_fault_of_the_call_is_not_called_a_failed_download():
    def builder(**named):
        raise TypeError("unexpected argument")

    with pytest.raises(TypeError):
        applications._with_weights(None, "NASNetMobile", builder, None)
