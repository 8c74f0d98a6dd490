"""A classifier's scores: what its file or card says they are, or one clear line."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

from cnnkit.classification import Classifier
from cnnkit.errors import BundleError
from cnnkit.results import Classification, Failure

WHITE = np.full((4, 4, 3), 255, np.uint8)


def network(units, activation=None, bias=0.0):
    """Gives its biases, whatever the image."""
    image = keras.Input((4, 4, 3))
    x = layers.GlobalAveragePooling2D()(image)
    dense = layers.Dense(units, activation=activation)
    model = keras.Model(image, dense(x))
    dense.set_weights([np.zeros((3, units)), np.broadcast_to(np.float32(bias), units)])
    return model


def load(tmp_path, model):
    model.save(tmp_path / "it.keras")
    return Classifier.load(str(tmp_path / "it.keras"), runtime="tensorflow")


def bundle(tmp_path, model, kind, classes):
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("".join(f"label {i}\n" for i in range(classes)))
    card = {
        "schema_version": 1,
        "name": "own",
        "task": "classify",
        "architecture": {"builder": None},
        "input": {"height": 4, "width": 4},
        "classes": classes,
        "outputs": {"scores": {"kind": kind} if kind else {}},
    }
    (tmp_path / "card.json").write_text(json.dumps(card))
    return Classifier.load(str(tmp_path), runtime="tensorflow")


@pytest.mark.parametrize(
    ("logit", "label", "score"), [(0.3, "class_1", 0.574443), (-3.0, "class_0", 0.952574)]
)
def test_a_unit_without_sigmoid_is_a_logit(tmp_path, logit, label, score):
    found = load(tmp_path, network(1, bias=logit)).predict(WHITE)
    assert (found.label, found.score) == (label, pytest.approx(score, abs=1e-5))


def test_numbers_that_are_not_finite_fail_for_their_image(tmp_path):
    found = load(tmp_path, network(3, bias=np.nan)).predict(WHITE)
    assert isinstance(found, Failure) and "not finite" in found.message


def test_a_card_without_a_kind_takes_it_from_the_file(tmp_path):
    found = bundle(tmp_path, network(2, "softmax", [2.0, 0.0]), None, 2).predict(WHITE)
    assert isinstance(found, Classification)
    assert found.score == pytest.approx(0.880797, abs=1e-5)


@pytest.mark.parametrize(
    ("units", "activation", "kind", "classes", "message"),
    [
        (3, "softmax", "logits", 3, "network that ends in softmax"),
        (3, None, "probabilities", 3, "network that ends in linear"),
        (1, None, "probability", 2, "network that ends in linear"),
        (3, "softmax", "probabilities", 4, "4 scores for each image"),
        (1, "sigmoid", "probability", 3, "classes must be 2"),
    ],
)
def test_a_card_that_contradicts_its_network_is_refused(
    tmp_path, units, activation, kind, classes, message
):
    with pytest.raises(BundleError, match=message) as caught:
        bundle(tmp_path, network(units, activation), kind, classes)
    assert "\n" not in str(caught.value)
