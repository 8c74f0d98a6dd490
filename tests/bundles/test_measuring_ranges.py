"""The ranges of a network that was just trained, for 8-bit integers."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnkit.bundles import open_model
from cnnkit.bundles.figures import int8_is_accurate
from cnnkit.bundles.means import read_means
from cnnkit.bundles.measuring_ranges import MOST, TrainingImages, ValidationImages, int8_sections
from cnnkit.bundles.writing import NewBundle, write_model
from cnnkit.images import InputSpec
from cnnkit.runtime import RuntimeOptions, predictor

SPEC = InputSpec(8, 8, "stretch", 1.0, "bilinear")


def network(channels: int = 3) -> keras.Model:
    image = keras.Input((8, 8, channels), name="picture")
    hidden = keras.layers.Conv2D(4, 3, activation="relu", name="first")(image)
    hidden = keras.layers.DepthwiseConv2D(3, name="second")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(image, keras.layers.Dense(2, name="logits")(hidden))


@pytest.fixture
def images(tmp_path) -> TrainingImages:
    """Two images, of one color each, and one that is gone."""
    paths = [str(tmp_path / f"{color}.png") for color in (10, 250)]
    for path, color in zip(paths, (10, 250), strict=True):
        Image.new("RGB", (8, 8), (color,) * 3).save(path)
    return TrainingImages([*paths, str(tmp_path / "gone.png")], seed=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_layer_has_the_range_and_the_means_of_its_input(images, channels, tmp_path):
    section = int8_sections(network(channels), images, SPEC, folder=tmp_path)["int8"]
    assert section["data"] == "2 training images"
    names = {"first/kernel", "second/kernel", "logits/kernel"}
    assert set(section["ranges"]) == names
    assert section["ranges"]["first/kernel"] == pytest.approx([10, 250], abs=0.1)
    assert section["ranges"]["second/kernel"][0] >= 0  # behind a ReLU
    means = read_means(tmp_path / section["means"]["file"], section["means"]["sha256"])
    assert set(means) == names
    assert means["first/kernel"] == pytest.approx([130] * channels, abs=0.1)
    assert {name: len(values) for name, values in means.items() if name != "first/kernel"} == {
        "second/kernel": 4,
        "logits/kernel": 4,
    }


def test_activations_without_bounds_make_no_card_that_is_refused(images, tmp_path):
    model = network()
    for weight in model.weights[:2]:
        weight.assign(np.full(weight.shape, 1e30))
    outputs = {"scores": {"layer": "logits", "kind": "logits"}}
    content = NewBundle("b", "classify", "Two.", model, "ab", SPEC, None, {}, outputs)
    write_model(tmp_path, replace(content, images=images))
    assert not open_model(tmp_path).card.ranges


def test_the_last_layers_are_left_out_for_detectors(images):
    section = int8_sections(network(), replace(images, last_in_int8=False), SPEC)["int8"]
    assert set(section["ranges"]) == {"first/kernel", "second/kernel"}


def test_the_accuracy_in_both_precisions_is_the_judges(images, tmp_path):
    """The judge sees each image that can be read, with its size, in float32 and then in int8."""
    seen = []

    def judge(card, results):
        found = [(place, size, outputs["scores"]) for place, size, outputs in results]
        seen.append(found)
        return {"top-1": 0.98765 - 0.004 * len(seen), "top-5": math.nan}

    validation = ValidationImages([images.paths[2], *images.paths[:2]], judge)
    outputs = {"scores": {"layer": "logits", "kind": "logits"}}
    model = network()
    for seed, weight in enumerate(model.weights):  # positive: no ReLU is at zero
        weight.assign(np.random.default_rng(seed).uniform(0.1, 0.5, weight.shape))
    content = NewBundle("b", "classify", "Two.", model, "ab", SPEC, None, {}, outputs)
    training = {"command": "transfer-learn"}
    content = replace(content, training=training, images=replace(images, validation=validation))
    write_model(tmp_path, content)
    card = json.loads((tmp_path / "card.json").read_text())
    about = {"data": "2 validation images", "command": "cnnkit transfer-learn"}
    assert card["measured"] == [
        {"what": "top-1", "value": 0.9837, **about},
        {"what": "top-1, int8", "value": 0.9797, **about},
    ]
    assert not int8_is_accurate(card)  # two images are too few
    assert not open_model(tmp_path).source().quantization.automatic
    assert [[one[:2] for one in found] for found in seen] == [[(1, (8, 8)), (2, (8, 8))]] * 2
    exact, quantized = (np.stack([scores for *_, scores in found]) for found in seen)
    given = np.stack([np.full((8, 8, 3), color, np.float32) for color in (10, 250)])
    np.testing.assert_allclose(exact, network_scores(tmp_path, given), rtol=1e-4)
    error = np.abs(quantized - exact) / exact
    assert 0 < error[0].max() < 0.05  # the other image lies outside the ranges, which are means


def network_scores(folder, images):
    return np.asarray(open_model(folder).build()(images)["scores"])


def test_no_image_gives_no_section(images):
    assert int8_sections(network(), replace(images, paths=images.paths[2:]), SPEC) == {}


def test_what_openvino_cannot_convert_is_said_and_no_error(images, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    image = keras.Input((8, 8, 3))
    unknown = keras.layers.Lambda(tf.math.bessel_i0)(image)
    model = keras.Model(image, keras.layers.Conv2D(1, 8)(unknown))
    root = logging.getLogger()
    before = root.level, list(root.filters)
    with caplog.at_level(logging.WARNING, logger="cnnkit"):
        assert int8_sections(model, images, SPEC) == {}
    assert (root.level, list(root.filters)) == before
    assert "cannot be computed in int8: OpenVINO cannot convert the network" in caplog.text


def test_a_choice_of_many_is_seeded():
    many = TrainingImages([f"{n}.png" for n in range(1000)], seed=3)

    class Read(list):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    chosen = []
    for seed in (3, 3, 4):
        seen: list[int] = []
        assert not list(replace(many, paths=Read(many.paths), seed=seed).some(SPEC))
        chosen.append(seen)
    assert len(chosen[0]) == MOST and chosen[0] == chosen[1] != chosen[2]


@pytest.mark.slow
def test_a_bundle_runs_in_int8_as_it_is_opened(images, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    for path, image in zip(images.paths, pixels, strict=False):
        Image.fromarray(image).save(path)
    folder = tmp_path / "bundle"
    folder.mkdir()
    outputs = {"scores": {"layer": "logits", "kind": "logits"}}
    content = NewBundle("b", "classify", "Two.", network(), "ab", SPEC, None, {}, outputs)
    write_model(folder, replace(content, images=replace(images, last_in_int8=False)))
    card = json.loads((folder / "card.json").read_text())
    assert len(card["int8"]["ranges"]) == 2
    source = open_model(folder).source()
    found = [
        predictor(source, RuntimeOptions(precision=precision)).predict(pixels)["scores"]
        for precision in ("float32", "int8")
    ]
    assert 0 < np.abs(found[1] - found[0]).max() < 0.1 * np.ptp(found[0])
