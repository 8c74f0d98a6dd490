"""A .keras file from a stranger: read before it is built, and bounded."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.bundles import network, open_model, opening
from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.keras_files import plan_keras_file, read_description
from cnnkit.errors import BundleError

CONFIG = "config.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small classifier, saved by Keras."""
    import keras
    from keras import layers

    path = tmp_path_factory.mktemp("keras") / "small.keras"
    keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(5, activation="softmax", name="dense"),
        ]
    ).save(path)
    return path


def tampered(source, target, change):
    """Copy a .keras file with its configuration changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == CONFIG:
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(info.filename, content)
    return target


def layer(config, name):
    for entry in config["config"]["layers"]:
        if entry["config"].get("name") == name:
            return entry
    raise KeyError(name)


def test_an_export_of_ours_is_opened_as_its_description_says(saved, tmp_path):
    path = shutil.copy(saved, tmp_path / "net.keras")
    bare = open_model(path)
    image = {"shape": [None, 16, 12, 3], "fit": "crop", "crop_fraction": 0.5}
    description = {
        "task": "classify",
        "inputs": [image | {"interpolation": "bicubic"}],
        "labels": list("abcde"),
        "calibration": {"temperature": 0.7, "threshold": 0.25},
        "made_by": "cnnkit 1",
        "sha256": [file_sha256(Path(path))],
    }
    beside = tmp_path / "net.keras.json"
    beside.write_text(json.dumps(description))
    bundle = open_model(path)
    assert (bundle.labels, bundle.notes) == (tuple("abcde"), ())
    spec = bundle.card.input
    assert (spec.size, spec.fit, spec.crop_fraction) == ((16, 12), "crop", 0.5)
    assert spec.interpolation == "bicubic"
    assert (bundle.card.threshold, bundle.card.temperature) == (0.25, 1.0)  # the latter is inside
    assert bundle.content_hash != bare.content_hash  # its embeddings are others
    (tmp_path / "l.txt").write_text("v\nw\nx\ny\nz\n")
    assert open_model(path, labels=str(tmp_path / "l.txt")).labels == tuple("vwxyz")
    for wrong in (1.5, True, "0.5", [0.5]):
        beside.write_text(json.dumps(description | {"calibration": {"threshold": wrong}}))
        assert open_model(path).card.threshold is None
    beside.write_text(json.dumps(description | {"labels": ["of", "another"]}))
    other = open_model(path)
    assert (other.labels[0], other.card.input) == ("class_0", bare.card.input)
    beside.write_text(json.dumps(description | {"sha256": ["0" * 64]}))
    with pytest.raises(BundleError, match=r"must describe net\.keras as it is"):
        open_model(path)


def test_a_bare_file_says_what_it_takes_and_gives(saved):
    plan = plan_keras_file(saved)
    assert plan.input_shape == (16, 12, 3)
    assert (plan.classes, plan.scores_kind) == (5, "probabilities")


def test_a_bare_file_opens_with_made_up_labels_said_once(saved):
    bundle = open_model(str(saved))
    assert bundle.labels == tuple(f"class_{i}" for i in range(5))
    assert len(bundle.notes) == 1 and "`labels`" in bundle.notes[0]
    outputs = bundle.build(features=True)(np.full((2, 16, 12, 3), 128, np.float32))
    assert outputs["scores"].shape == (2, 5)
    assert outputs["features"].shape == (2, 4)


def test_another_version_makes_the_same_embeddings_of_a_bare_file(saved, monkeypatch):
    """An index made of them is not refused after an upgrade."""
    before = open_model(str(saved))
    monkeypatch.setattr(opening, "code_hash", lambda: "another")
    after = open_model(str(saved))
    assert after.identity != before.identity and after.content_hash == before.content_hash
    assert after.card.weights["sha256"] == file_sha256(saved)


def test_labels_can_be_given(saved, tmp_path):
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\ne\n")
    bundle = open_model(str(saved), labels=str(tmp_path / "l.txt"))
    assert bundle.labels == tuple("abcde") and not bundle.notes
    (tmp_path / "l.txt").write_text("a\nb\n")
    with pytest.raises(BundleError, match="each of the 5 classes"):
        open_model(str(saved), labels=str(tmp_path / "l.txt"))


def test_one_sigmoid_is_two_classes(tmp_path):
    import keras

    path = tmp_path / "binary.keras"
    image = keras.Input((8, 8, 1))
    score = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(image))
    keras.Model(image, score).save(path)
    bundle = open_model(str(path))
    assert bundle.card.scores_kind == "probability" and len(bundle.labels) == 2
    assert bundle.build()(np.zeros((1, 8, 8, 3), np.float32))["scores"].shape == (1, 1)


@pytest.mark.parametrize("named", [False, True])
def test_a_network_of_gray_images_has_features(named):
    import keras

    # Built without names, as in most programs: Keras calls the first model "functional".
    keras.utils.clear_session()
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    pooled = layers.GlobalAveragePooling2D(name="pooled")(layers.Conv2D(4, 3)(image))
    gray = keras.Model(image, layers.Dense(3, name="logits")(pooled))
    inside = ("logits", "pooled") if named else (None, None)
    model = network.with_named_outputs(
        keras, network.color_input(keras, gray), *inside, features=True, numbers=3, kind="logits"
    )
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    outputs = model(pixels)
    luminance = keras.ops.image.rgb_to_grayscale(pixels)
    np.testing.assert_allclose(outputs["scores"], gray(luminance), atol=1e-6)
    wanted = keras.Model(image, pooled)(luminance)
    np.testing.assert_allclose(outputs["features"], wanted, atol=1e-6)


def as_lambda(config):
    entry = layer(config, "conv")
    entry["class_name"] = "Lambda"
    entry["config"] = {"name": "conv", "function": {"class_name": "__lambda__", "config": {}}}


def as_foreign_module(config):
    layer(config, "conv")["module"] = "os"


def as_saved_model_layer(config):
    layer(config, "conv")["class_name"] = "TFSMLayer"


def as_registered(config):
    layer(config, "conv")["registered_name"] = "evil>Conv"


def as_function(config):
    layer(config, "conv")["config"]["activation"] = {
        "module": "builtins",
        "class_name": "function",
        "config": "eval",
        "registered_name": "function",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_lambda, "without code. Received: class 'Lambda'"),
        (as_foreign_module, "of module 'os'"),
        (as_saved_model_layer, "class 'TFSMLayer'"),
        (as_registered, "no custom object"),
        (as_function, "class 'function' of module 'builtins'"),
    ],
)
def test_code_is_refused_before_anything_is_built(saved, tmp_path, change, message):
    path = tampered(saved, tmp_path / "hostile.keras", change)
    with pytest.raises(BundleError, match=message) as caught:
        read_description(path)
    assert "hostile.keras" in str(caught.value)


def test_more_parameters_than_weights_are_refused_without_allocating_them(saved, tmp_path):
    def huge(config):
        layer(config, "dense")["config"]["units"] = 2_000_000_000

    path = tampered(saved, tmp_path / "huge.keras", huge)
    with pytest.raises(BundleError, match="must hold the weights that it describes"):
        open_model(str(path))
    # Inferring a layer's shape initializes every variable that Keras still waits for.
    image = keras.Input((2,))
    assert keras.layers.Activation("relu")(image).shape == (None, 2)

    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    assert Own()(image).shape == (None, 2)


def test_a_huge_activation_is_refused(saved, tmp_path):
    def huge(config):
        config["config"]["layers"][0]["config"]["batch_shape"] = [None, 60_000, 60_000, 3]

    path = tampered(saved, tmp_path / "wide.keras", huge)
    with pytest.raises(BundleError, match="must give at most"):
        open_model(str(path))


def test_deep_nesting_is_refused(saved, tmp_path):
    def deep(config):
        value: dict = {}
        config["deep"] = value
        for _ in range(300):
            value["x"] = {}
            value = value["x"]

    path = tampered(saved, tmp_path / "deep.keras", deep)
    with pytest.raises(BundleError, match="nest at most"):
        read_description(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG, "{}")
        archive.writestr("model.weights.h5", b"\0" * (64 << 20))
    with pytest.raises(BundleError, match="100 times its size"):
        read_description(path)


@pytest.mark.parametrize("keep", [0, 10, 1000, -10])
def test_a_truncated_file_is_refused(saved, tmp_path, keep):
    path = tmp_path / "torn.keras"
    shutil.copy(saved, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"torn\.keras must be a \.keras file"):
        read_description(path)


def test_a_broken_member_is_refused(saved, tmp_path):
    path = tmp_path / "broken.keras"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        new.writestr(CONFIG, old.read(CONFIG), zipfile.ZIP_DEFLATED)
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    content = bytearray(path.read_bytes())
    content[30 + len(CONFIG)] = 0xFF  # the first byte of what is compressed
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"broken\.keras must be a \.keras file"):
        read_description(path)


def test_broken_weights_are_refused(saved, tmp_path):
    path = tmp_path / "broken.keras"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        new.writestr(CONFIG, old.read(CONFIG))
        new.writestr("metadata.json", old.read("metadata.json"))
        new.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 5000)
    with pytest.raises(BundleError, match=r"broken\.keras cannot be opened"):
        open_model(str(path)).build()


def test_a_network_that_is_no_classifier_of_images_is_refused(tmp_path):
    import keras

    path = tmp_path / "vectors.keras"
    vector = keras.Input((7,))
    keras.Model(vector, keras.layers.Dense(3)(vector)).save(path)
    with pytest.raises(BundleError, match="must take one image"):
        open_model(str(path))
    path = tmp_path / "maps.keras"
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Conv2D(3, 3)(image)).save(path)
    with pytest.raises(BundleError, match="one row of class scores"):
        open_model(str(path))
