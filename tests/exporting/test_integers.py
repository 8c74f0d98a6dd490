"""Exports in 8-bit integers, checked against the model's own."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from cnnkit.bundles.measuring_ranges import TrainingImages
from cnnkit.bundles.writing import NewBundle, write_model
from cnnkit.commands.export import export
from cnnkit.errors import OutputError, RuntimeUnavailableError, UsageError
from cnnkit.exporting import CheckFailedError, Output, integers, writing
from cnnkit.exporting.checking import ExpectedOutputs
from cnnkit.exporting.checking_integers import closeness
from cnnkit.exporting.images import photographs
from cnnkit.images import InputSpec
from cnnkit.runtime.process import import_openvino
from tests.exporting.running import left_in, needs_onnx, outputs

FORMS = [pytest.param("onnx", marks=needs_onnx), "openvino"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, examples):
    """The folder of a small classifier of random weights, with its activation ranges."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Conv2D(32, 3, activation="relu")(x)
    logits = layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=4))(
        layers.GlobalAveragePooling2D()(x)
    )
    folder = tmp_path_factory.mktemp("bundle")
    new = NewBundle(
        name="trees",
        task="classify",
        description="Four trees.",
        model=keras.Model(image, logits),
        labels=["ash", "beech", "cedar", "elm"],
        input=InputSpec(32, 32),
        builder=None,
        arguments={},
        outputs={"scores": {"kind": "logits"}},
        images=TrainingImages([str(path) for path in sorted(examples.glob("*.jpg"))], 1),
    )
    write_model(folder, new)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_an_own_bundle_in_integers_is_as_near_as_its_own_integers(bundle, form, tmp_path):
    target = tmp_path / ("trees.onnx" if form == "onnx" else "trees.xml")
    done = export(bundle, target, precision="int8", batch=2)
    (found,) = done.int8
    assert 0 < found.export.mean < 2 * found.own.mean
    content = json.loads(done.description.read_text("utf-8"))
    assert content["precision"] == done.precision == "int8"
    assert content["inputs"][0]["shape"] == [2, 32, 32, 3]
    assert content["checked"]["images"] == done.images
    said = content["checked"]["outputs"]["probabilities"]
    assert said["mean_difference"] == found.export.mean
    assert said["own_int8"]["largest_difference"] == found.own.largest
    assert left_in(tmp_path) == sorted([*content["files"], f"{target.name}.json"])
    given = outputs(form, target, image=photographs(32, 32)[:2])["probabilities"]
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-5)
    if form == "openvino":
        compiled = import_openvino().Core().compile_model(target, "CPU")
        kinds = [
            node.get_rt_info()["runtimePrecision"].astype(str)
            for node in compiled.get_runtime_model().get_ops()
            if node.get_rt_info()["layerType"].astype(str) == "Convolution"
        ]
        assert kinds == ["u8", "u8"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["squeezenet-1.1", "efficientnet-lite0", "nanodet-g"])
def test_an_embedded_model_in_integers_is_as_near_as_its_own_integers(name, form, tmp_path):
    target = tmp_path / ("model.onnx" if form == "onnx" else "model.xml")
    done = export(name, target, precision="int8")
    for found in done.int8:
        assert 0 < found.export.mean < 1.3 * found.own.mean
        # Of the ten images two are near a tie: 0.248 and 0.200, 0.102 and 0.086 in float32.
        assert (found.export.same_first or 1) >= 0.8 and (found.own.same_first or 1) >= 0.9


@pytest.mark.parametrize(
    ("model", "name", "error", "message"),
    [
        ("squeezenet-1.1", "a.keras", UsageError, "`precision='int8'` requires `format='onnx'`"),
        ("yunet", "a.xml", RuntimeUnavailableError, "requires activation ranges, which the card"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_built(model, name, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export(model, tmp_path / name, precision="int8")
    with pytest.raises(UsageError, match="`precision` must be one of float32, int8"):
        export(model, tmp_path / name, precision="int4")


def test_integers_that_are_worse_than_the_models_own_are_not_kept(bundle, tmp_path, monkeypatch):
    """The fault is planted: a tenth of the ranges of the card, which clips."""
    right = writing.activations_of

    def narrow(bundle, exported):
        found = right(bundle, exported)
        return replace(found, ranges={n: (a / 10, b / 10) for n, (a, b) in found.ranges.items()})

    monkeypatch.setattr(writing, "activations_of", narrow)
    with pytest.raises(CheckFailedError, match="must differ on average by at most") as at:
        export(bundle, tmp_path / "trees.xml", precision="int8")
    assert at.value.difference > 1e-4 and left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("raised", "seen"), [(AttributeError, AttributeError), (RuntimeError, OutputError)]
)
def test_a_fault_of_ours_is_not_said_to_be_the_models(raised, seen, bundle, tmp_path, monkeypatch):
    def faulty(*_, **__):
        raise raised("planted")

    monkeypatch.setattr(integers, "quantize", faulty)
    with pytest.raises(seen, match="planted"):
        export(bundle, tmp_path / "trees.xml", precision="int8")
    assert left_in(tmp_path) == []


def test_closeness_by_hand():
    wanted = np.float32([[0.2, 0.8], [0.5, 0.5]])
    given = np.float32([[0.3, 0.7], [0.9, 0.1]])
    truth = ExpectedOutputs([{"image": np.arange(2)}], [{"p": wanted}])
    output = Output("p", "", "probability", "a probability")
    found = closeness(lambda inputs: {"p": given[inputs["image"]]}, (output,), truth, 2)["p"]
    assert (found.mean, found.largest, found.same_first) == pytest.approx((0.25, 0.4, 1.0))
    boxes = Output("p", "", "box", "the input's side", 10.0)
    found = closeness(lambda inputs: {"p": given[inputs["image"]]}, (boxes,), truth, 2)["p"]
    assert (found.mean, found.same_first) == (pytest.approx(0.025), None)
    assert (output.unit_name, boxes.unit_name) == ("", "the input's side")
