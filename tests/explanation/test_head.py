"""The logits of a classifier, before a softmax or sigmoid wherever that stands."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnkit.bundles import open_model
from cnnkit.explanation import Explainer
from cnnkit.explanation.graph import trace
from cnnkit.explanation.head import find_head
from cnnkit.runtime import RuntimeOptions

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3)).astype(np.float32)
ENDS = {
    "dense": lambda x: layers.Dense(3, activation="softmax", name="own")(x),
    "layer": lambda x: layers.Softmax()(layers.Dense(3, name="own")(x)),
    "operation": lambda x: ops.softmax(layers.Dense(3, name="own")(x)),
    "followed": lambda x: layers.Identity()(layers.Softmax()(layers.Dense(3, name="own")(x))),
    "rescaled": lambda x: layers.Rescaling(1.0)(
        layers.Flatten()(layers.Dense(3, activation="softmax", name="own")(x))
    ),
    "sigmoid": lambda x: layers.Identity()(layers.Dense(3, activation="sigmoid", name="own")(x)),
}


def network(end):
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, end(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("name", ENDS)
def test_the_logits_are_those_before_the_softmax(name):
    model = network(ENDS[name])
    dense = model.get_layer("own")
    expected = keras.Model(model.inputs[0], dense.input)(IMAGES) @ dense.kernel + dense.bias
    graph = trace(keras, model)
    head = find_head(keras, graph)
    assert head.linear is not None
    np.testing.assert_allclose(
        keras.Model(graph.image, head.logits)(IMAGES), expected, rtol=1e-5, atol=1e-6
    )


def test_one_logit_is_explained_with_its_probability(tmp_path):
    model = network(lambda x: layers.Dense(1, bias_initializer="ones")(x))
    model.save(tmp_path / "one.keras")
    pixels = IMAGES[0].astype(np.uint8)
    explainer = Explainer(
        open_model(str(tmp_path / "one.keras")), options=RuntimeOptions(runtime="tensorflow")
    )
    (found,) = explainer.predict([pixels])
    logit = float(np.asarray(model(pixels[None].astype(np.float32)))[0, 0])
    second = 1 / (1 + np.exp(-logit))
    assert found.label == ("class_1" if logit > 0 else "class_0")
    assert found.score == pytest.approx(max(second, 1 - second), abs=1e-5)
