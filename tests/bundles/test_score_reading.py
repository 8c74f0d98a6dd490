"""What a bare .keras file's numbers mean: read off the network, or decided by its numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnkit.bundles import open_model
from cnnkit.bundles.score_reading import Loss, kind_of_scores, read_loss
from cnnkit.errors import BundleError

SIDE = 6
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)


def network(end, places=False):
    """A small network with an end: a function of features, or of a feature map."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(image)
    return keras.Model(image, end(layers.Conv2D(4, 3)(x) if places else layers.Flatten()(x)))


NO_LOSS = Loss()


def kind(model, loss=NO_LOSS):
    def run():
        return np.asarray(model(IMAGES, training=False)).reshape(len(IMAGES), -1)

    return kind_of_scores(model, int(np.prod(model.outputs[0].shape[1:])), loss, run, "it")


def soft(x, units=3):
    return layers.Dense(units, activation="softmax")(x)


def member(units=3, activation="softmax"):
    """A nested model."""
    image = keras.Input((SIDE * SIDE * 3,))
    return keras.Model(image, layers.Dense(units, activation=activation)(image))


def sequential(units=3, activation="softmax"):
    shape = (SIDE * SIDE * 3,)
    return keras.Sequential([keras.Input(shape), layers.Dense(units, activation=activation)])


def written_by_hand(x):
    powers = ops.exp(layers.Dense(3)(x))
    return powers / ops.sum(powers, axis=-1, keepdims=True)


SOFTMAX_ENDS = {
    "dense": soft,
    "a layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "a layer as the activation": lambda x: layers.Dense(3, activation=layers.Softmax())(x),
    "an operation": lambda x: ops.softmax(layers.Dense(3)(x)),
    "by hand": written_by_hand,
    "identity": lambda x: layers.Identity()(soft(x)),
    "flatten": lambda x: layers.Flatten()(soft(x)),
    "dropout": lambda x: layers.Dropout(0.5)(soft(x)),
    "float32": lambda x: layers.Activation("linear", dtype="float32")(soft(x)),
    "rescaling": lambda x: layers.Rescaling(1.0)(soft(x)),
    "clipped": lambda x: ops.clip(soft(x), 1e-7, 1 - 1e-7),
    "average": lambda x: layers.Average()([member()(x), member()(x)]),
    "sum and rescaling": lambda x: layers.Rescaling(0.5)(layers.Add()([soft(x), soft(x)])),
    "sum and division": lambda x: (soft(x) + soft(x)) / 2,
    "weighted": lambda x: 0.25 * soft(x) + soft(x) * 0.75,
    "stacked": lambda x: ops.mean(ops.stack([soft(x), soft(x)]), axis=0),
    "nested": lambda x: member()(x),
    "nested sequential": lambda x: sequential()(x),
    "nested twice": lambda x: keras.Sequential([keras.Input((3,)), layers.Flatten()])(member()(x)),
    "spectral": lambda x: layers.SpectralNormalization(layers.Dense(3, activation="softmax"))(x),
    "axis 1 of two": lambda x: layers.Softmax(axis=1)(layers.Dense(3)(x)),
}
SOFTMAX_ENDS_OF_MAPS = {
    "averaged": lambda x: layers.GlobalAveragePooling2D()(
        layers.Conv2D(3, 1, activation="softmax")(x)
    ),
    "one place": lambda x: layers.Conv2D(3, 1, activation="softmax")(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    ),
    "of each place": lambda x: layers.GlobalAveragePooling1D()(
        layers.TimeDistributed(layers.Dense(3, activation="softmax"))(layers.Reshape((16, 4))(x))
    ),
}


@pytest.mark.parametrize("name", SOFTMAX_ENDS)
def test_a_softmax_is_found_wherever_it_stands(name):
    assert kind(network(SOFTMAX_ENDS[name])) == "probabilities"


@pytest.mark.parametrize("name", SOFTMAX_ENDS_OF_MAPS)
def test_a_softmax_of_places_is_found(name):
    assert kind(network(SOFTMAX_ENDS_OF_MAPS[name], places=True)) == "probabilities"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda x: layers.Dense(1)(x), "logit"),
        (lambda x: layers.Dense(1, activation="sigmoid")(x), "probability"),
        (lambda x: ops.sigmoid(layers.Dense(1)(x)), "probability"),
        (lambda x: 1 / (1 + ops.exp(-layers.Dense(1)(x))), "probability"),
        (lambda x: layers.Identity()(member(1, "sigmoid")(x)), "probability"),
        (lambda x: layers.Average()([member(1, None)(x), member(1, None)(x)]), "logit"),
        (lambda x: soft(x, 2)[:, 1:], "probability"),
        (lambda x: ops.squeeze(layers.Dense(1, activation="sigmoid")(x), -1), "probability"),
        (lambda x: layers.Dense(2, activation="sigmoid")(x), "probabilities"),
        (lambda x: layers.Flatten()(layers.Dense(3, activation="sigmoid")(x)), "probabilities"),
        (lambda x: layers.Concatenate()([member(1, "sigmoid")(x)] * 2), "probabilities"),
        (lambda x: layers.Dense(3)(x), "logits"),
        (lambda x: layers.Dense(3, activation="relu")(x), "logits"),
        (lambda x: layers.Dense(3, activation="log_softmax")(x), "logits"),
        (lambda x: ops.log(soft(x)), "logits"),
        (lambda x: layers.Dense(3)(soft(x)), "logits"),
        (lambda x: layers.BatchNormalization()(layers.Dense(3)(x)), "logits"),
    ],
)
def test_other_ends(end, expected):
    assert kind(network(end)) == expected


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda x: layers.Dense(1, activation="tanh")(x), "from -1 to 1 that end in tanh"),
        (lambda x: layers.Dense(1, activation="relu")(x), "from 0 to inf that end in relu"),
        (lambda x: layers.Dense(1, activation="softmax")(x), "always 1"),
        (lambda x: layers.Dense(3, activation="exponential")(x), "end in exponential"),
        (lambda x: layers.Rescaling(100.0)(soft(x)), "add up to 100 behind softmax"),
        (lambda x: layers.Add()([soft(x), soft(x)]), "add up to 2 behind softmax"),
        (lambda x: layers.Softmax(axis=0)(layers.Dense(3)(x)), "behind softmax"),
        (lambda x: ops.exp(layers.Dense(3)(x)) * np.nan, "not finite"),
    ],
)
def test_numbers_that_are_neither_are_refused_in_one_line(end, message):
    with pytest.raises(BundleError, match="must give class probabilities or logits") as caught:
        kind(network(end))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_softmax_over_the_places_is_refused():
    def end(x):
        return layers.GlobalAveragePooling2D()(layers.Softmax(axis=(1, 2))(layers.Conv2D(3, 1)(x)))

    with pytest.raises(BundleError, match="behind softmax"):
        kind(network(end, places=True))


def test_a_long_way_back_ends_without_a_word_too_many():
    def end(x):
        x = soft(x)
        for _ in range(300):
            x = layers.Identity()(x)
        return x

    assert kind(network(end)) == "probabilities"


def test_sums_of_sums_do_not_grow_without_bound():
    def end(x):
        x = soft(x)
        for _ in range(60):  # 2^60 ways back
            x = (x + x) / 2
        return x

    assert kind(network(end)) == "probabilities"


@pytest.mark.parametrize(
    ("loss", "units", "expected"),
    [
        (keras.losses.BinaryCrossentropy(from_logits=True), 1, "logit"),
        (keras.losses.BinaryCrossentropy(from_logits=True), 3, "independent-logits"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), 3, "logits"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, "logits"),
        ("binary_crossentropy", 1, "logit"),
    ],
)
def test_the_loss_tells_what_logits_are_of(loss, units, expected):
    model = network(lambda x: layers.Dense(units)(x))
    model.compile(loss=loss)
    assert kind(model, read_loss(model.get_compile_config())) == expected


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber(), keras.losses.MeanAbsoluteError()])
def test_a_regression_is_no_classifier(loss):
    model = network(lambda x: layers.Dense(1)(x))
    model.compile(loss=loss)
    with pytest.raises(BundleError, match="numbers learned with the loss"):
        kind(model, read_loss(keras.saving.serialize_keras_object(model)["compile_config"]))


@pytest.mark.parametrize("broken", [None, 3, {}, {"loss": 3}, {"loss": [{"class_name": 3}]}])
def test_strange_training_settings_say_nothing(broken):
    assert read_loss(broken) == Loss()


def logit_file(path, kernel, bias=0.0, **arguments):
    """A file whose score is `kernel` times an image's share of full brightness."""
    image = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    units = np.shape(kernel)[0]
    dense = layers.Dense(units, **arguments)
    model = keras.Model(image, dense(x))
    dense.set_weights([np.tile(np.asarray(kernel, np.float32) / 3, (3, 1)), np.full(units, bias)])
    model.save(path)
    return str(path)


@pytest.mark.parametrize(
    ("logit", "first", "second"),
    # 1 / (1 + e^-x) by hand: e^-3 = 0.0497871, e^-0.3 = 0.7408182, e^2 = 7.3890561
    [(3.0, 0.0474259, 0.9525741), (0.3, 0.4255575, 0.5744425), (-2.0, 0.8807971, 0.1192029)],
)
def test_one_logit_tells_two_classes_apart(tmp_path, logit, first, second):
    bundle = open_model(logit_file(tmp_path / "one.keras", [logit]))
    scores = np.asarray(bundle.build()(np.full((1, 4, 4, 3), 255, np.float32))["scores"])
    np.testing.assert_allclose(scores, [[logit]], atol=1e-5)
    np.testing.assert_allclose(bundle.probabilities(scores[0]), [first, second], atol=1e-6)
    assert len(bundle.labels) == 2


def test_scores_of_one_place_come_as_a_row(tmp_path):
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 4, activation="softmax", name="scores")(image)  # (batch, 1, 1, 5)
    model = keras.Model(image, x)
    model.save(tmp_path / "place.keras")
    bundle = open_model(str(tmp_path / "place.keras"))
    images = np.random.default_rng(1).random((2, 4, 4, 3)).astype(np.float32)
    scores = np.asarray(bundle.build()(images)["scores"])
    assert scores.shape == (2, 5) and bundle.card.scores_kind == "probabilities"
    np.testing.assert_allclose(scores, np.asarray(model(images))[:, 0, 0], atol=1e-6)
