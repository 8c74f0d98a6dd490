"""What a name may be, and what is refused in one line."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from cnnkit.errors import UsageError
from cnnkit.lab.networks.opening import Wish, describe
from cnnkit.lab.networks.reading import totals


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "own.keras"
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(4)]
    )
    model.save(path)
    return path


def test_a_builder_with_another_input_and_classes() -> None:
    (network,) = describe("VGG11", Wish((64, 96, 3), 7))
    assert network.rows[0].output == (64, 96, 3) and network.rows[-1].output == (7,)
    assert (network.name, network.variant) == ("vgg-11", "column A")


def test_a_keras_file(keras_file) -> None:
    (network,) = describe(str(keras_file), Wish())
    assert (network.name, totals(network.rows)["parameters"]) == ("own.keras", 56 + 292)


def test_an_embedded_model_of_several_networks() -> None:
    names = [network.name for network in describe("mtcnn", Wish())]
    assert names == ["mtcnn: proposal", "mtcnn: refinement", "mtcnn: output"]


def test_an_application_is_counted_as_keras_has_it() -> None:
    """25,636,712 with the moving averages, 3.858 billion multiplies: strides in the 1x1."""
    (network,) = describe("keras:resnet50", Wish())
    found = totals(network.rows)
    assert found["parameters"] + found["statistics"] == 25_636_712
    assert round(found["multiplies"] / 1e9, 3) == 3.858


REFUSED = [
    ("vgg-61", Wish(), "Did you mean 'vgg-19'"),
    ("no-such-thing", Wish(), "Builders: alexnet, "),
    ("vgg-16", Wish((20, 20, 3)), "vgg-16 cannot be built so: Computed output size would be"),
    ("alexnet", Wish((66, 66, 3)), "must be at least 67x67 for alexnet"),
    ("mtcnn-output", Wish(classes=3), "`classes` must be used with a classifier or a detector"),
    ("keras:ResNet51", Wish(), "Did you mean 'keras:ResNet"),
]


@pytest.mark.parametrize(("name", "wish", "told"), REFUSED)
def test_what_cannot_be_is_refused(name, wish, told) -> None:
    with pytest.raises(UsageError) as refused:
        list(describe(name, wish))
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_classes_of_a_finished_network_are_refused(keras_file) -> None:
    with pytest.raises(UsageError, match="`classes` must be used with a builder's name"):
        list(describe(str(keras_file), Wish(classes=3)))
    with pytest.raises(UsageError, match="`input_shape` must be 8x8 for this model"):
        list(describe(str(keras_file), Wish((9, 9, 3))))


@pytest.mark.parametrize(
    ("shape", "classes", "told"),
    [
        ((9000, 9, 3), None, "at most 8192x8192x4"),
        ((9, 9, 9), None, "at most"),
        (None, 0, "between"),
    ],
)
def test_bounds(shape, classes, told) -> None:
    with pytest.raises(UsageError, match=told):
        Wish(shape, classes)
