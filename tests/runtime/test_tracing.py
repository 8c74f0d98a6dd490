"""TensorFlow's graphs of functions, and what it says of their number."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest

from cnnkit import runtime
from cnnkit.runtime.keras_predictor import compiled_call
from cnnkit.runtime.tracing import graph_function, quiet_tracing


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Return the warnings of retracing so far."""
    tensorflow = logging.getLogger("tensorflow")
    monkeypatch.setattr(tensorflow, "level", logging.WARNING)
    tensorflow.addHandler(caplog.handler)
    yield lambda: [one for one in caplog.messages if "retracing" in one]
    tensorflow.removeHandler(caplog.handler)


def small_model() -> keras.Model:
    image = keras.Input((4, 4, 3))
    return keras.Model(image, {"scores": keras.layers.Flatten()(image)})


def test_models_that_are_loaded_one_after_another_are_no_retracing(warned) -> None:
    for _ in range(8):
        compiled_call(small_model(), "tensorflow", "cpu")(np.zeros((1, 4, 4, 3), np.uint8))
        runtime.value_and_gradient(lambda x: keras.ops.sum(x * x))(np.ones(3, np.float32))
    assert warned() == []


def test_images_of_many_sizes_have_a_graph_each(warned) -> None:
    total = runtime.compile(keras.ops.sum)
    assert [float(total(np.ones(n, np.float32))) for n in range(1, 9)] == list(range(1, 9))
    assert warned() == []


def test_models_that_are_trained_one_after_another_are_no_retracing(warned) -> None:
    for _ in range(6):
        model = keras.Sequential([keras.layers.Dense(2)])
        model.compile(loss="mse")
        with quiet_tracing():
            with quiet_tracing():
                model.predict_on_batch(np.zeros((2, 3)))
            model.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)
    assert warned() == []


def test_a_graph_is_traced_once_for_each_shape() -> None:
    traced = []
    function = graph_function(lambda x: traced.append(x.shape) or x)
    for shape in ((2,), (3,), (2,), (3,)):
        function(np.zeros(shape, np.float32))
    assert len(traced) == 2


def test_tensorflow_would_have_warned(warned) -> None:
    """What the other tests look for is still what TensorFlow says."""
    import tensorflow as tf

    for _ in range(8):
        tf.function(lambda x: x, autograph=False)(np.zeros(1, np.float32))
    assert warned()
