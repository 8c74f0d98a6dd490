"""What a .keras description may name, and how it is rebuilt: for prediction, in float32."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from cnnkit.bundles import open_model
from cnnkit.bundles.keras_objects import CODE, LEFT_OUT, check_object, for_prediction
from cnnkit.errors import BundleError

FILE = Path("some.keras")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)


def saved(path, end, classes=3, **arguments):
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(end(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(classes, activation="softmax", **arguments)(x))
    model.save(path)
    return model


def rows(x):
    return layers.Reshape((8, 24))(x)


ENDS = {
    "slicing": lambda x: x[:, 2:-2, ..., 1],
    "lstm": lambda x: layers.LSTM(3)(rows(x)),
    "gru": lambda x: layers.GRU(3, unroll=True)(rows(x)),
    "rnn": lambda x: layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)])(rows(x)),
    "simple rnn": lambda x: layers.SimpleRNN(3)(rows(x)),
    "bidirectional": lambda x: layers.Bidirectional(layers.LSTM(2))(rows(x)),
    "time distributed": lambda x: layers.TimeDistributed(layers.Conv1D(2, 3))(x),
    "random": lambda x: layers.RandomErasing(1.0)(
        layers.RandomHue(0.5, value_range=(0, 1))(
            layers.RandomGaussianBlur(1.0, value_range=(0, 1))(x)
        )
    ),
    "pipeline": lambda x: layers.Pipeline([layers.RandomFlip(), layers.Rescaling(2.0)])(x),
    "adaptive pooling": lambda x: layers.AdaptiveAveragePooling2D((2, 2))(x),
    "activation of an operation": lambda x: layers.Dense(3, activation=keras.ops.tanh)(x),
}


@pytest.mark.parametrize("name", ENDS)
def test_keras_own_layers_open_and_give_what_keras_gives(tmp_path, name):
    model = saved(tmp_path / "own.keras", ENDS[name])
    scores = open_model(str(tmp_path / "own.keras")).build()(IMAGES, training=False)["scores"]
    np.testing.assert_allclose(scores, model(IMAGES, training=False), atol=1e-5)


def test_layers_of_keras_applications_open():
    from keras.src.applications.convnext import LayerScale, StochasticDepth

    for layer in (LayerScale(1e-6, 4), StochasticDepth(0.1)):
        check_object(FILE, json.loads(json.dumps(keras.saving.serialize_keras_object(layer))))


def test_every_layer_of_the_installed_keras_is_known_or_named():
    known = set()
    for name, value in vars(layers).items():
        if isinstance(value, type) and issubclass(value, layers.Layer):
            try:
                check_object(FILE, {"module": "keras.layers", "class_name": name, "config": {}})
                known.add(name)
            except BundleError:
                assert name in CODE | LEFT_OUT
    assert not known & (CODE | LEFT_OUT)
    assert {"Dense", "RandomErasing", "MultiHeadAttention", "ConvLSTM2D"} <= known


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("keras.layers", "Lambda", "without code"),
        ("keras.src.layers.core.lambda_layer", "Lambda", "without code"),
        ("keras.layers", "TorchModuleWrapper", "without code"),
        ("keras.src.utils.jax_layer", "JaxLayer", "without code"),
        ("builtins", "function", "without code"),
        ("keras.layers", "StringLookup", "is not supported"),
        ("keras.layers", "Layer", "is not supported"),
        ("keras.layers", "NoSuchLayer", "is not supported"),
        ("keras.src.ops.nn", "np", "is not supported"),
        ("keras.src.layers.core.dense", "ops", "is not supported"),
        ("keras.src.layers.layer_test", "MockLayer", "is not supported"),
        ("keras.dtype_policies", "QuantizedDTypePolicy", "quantized weights"),
        ("os", "system", "without code"),
        ("mine", "Own", "without code"),
        (None, "Own", "without code"),
        (3, "Own", "without code"),
    ],
)
def test_what_stays_out_is_called_what_it_is(module, name, message):
    value = {"module": module, "class_name": name, "config": {}, "registered_name": None}
    with pytest.raises(BundleError, match=message) as caught:
        check_object(FILE, value)
    assert "\n" not in str(caught.value)


def test_a_function_is_keras_own_or_refused():
    good = {"module": "keras.activations", "class_name": "function", "config": "relu"}
    check_object(FILE, good | {"registered_name": "relu"})
    for bad in ({"config": "no_such"}, {"config": 3}, {"module": "keras.utils"}):
        with pytest.raises(BundleError, match="without code"):
            check_object(FILE, good | bad)


POLICIES = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")


@pytest.mark.parametrize("policy", POLICIES)
def test_networks_trained_in_another_precision_run_in_float32(tmp_path, policy):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, dtype=policy)])
    model = saved(tmp_path / "half.keras", inner, dtype=policy)
    built = open_model(str(tmp_path / "half.keras")).build()
    assert {layer.compute_dtype for layer in built._flatten_layers()} == {"float32"}
    assert {variable.dtype for variable in built.variables} == {"float32"}
    scores = np.asarray(built(IMAGES)["scores"])
    expected = keras.ops.convert_to_numpy(keras.ops.cast(model(IMAGES), "float32"))
    np.testing.assert_allclose(scores, expected, atol=0.02)


def test_a_policy_is_changed_wherever_it_stands():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    config = {"dtype": policy, "layers": [{"config": {"dtype": "bfloat16", "name": "float16"}}]}
    assert not for_prediction(config)
    assert policy["config"]["name"] == "float32"
    assert config["layers"][0]["config"] == {"dtype": "float32", "name": "float16"}


def test_quantized_weights_are_not_supported_and_said_to_be(tmp_path):
    policy = keras.dtype_policies.get("int8_from_mixed_bfloat16")
    saved(tmp_path / "int8.keras", lambda x: x, dtype=policy)
    with pytest.raises(BundleError, match=r"quantized weights .*not supported"):
        open_model(str(tmp_path / "int8.keras"))


def test_a_dropout_that_stays_on_is_switched_off_and_said(tmp_path):
    saved(tmp_path / "chance.keras", lambda x: layers.Dropout(0.5)(x, training=True))
    bundle = open_model(str(tmp_path / "chance.keras"))
    assert "in training mode" in bundle.notes[0]
    built = bundle.build()
    first, second = (np.asarray(built(IMAGES)["scores"]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_nested_network_that_was_compiled_opens(tmp_path):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    inner.compile(keras.optimizers.Adam(1e-3), loss="mse")
    model = saved(tmp_path / "nested.keras", inner)
    scores = open_model(str(tmp_path / "nested.keras")).build()(IMAGES)["scores"]
    np.testing.assert_allclose(scores, model(IMAGES), atol=1e-5)
