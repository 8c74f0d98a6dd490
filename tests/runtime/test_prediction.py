"""Every runtime is held to the reference: the same images, a stated tolerance."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.errors import BundleError, RuntimeUnavailableError
from cnnkit.runtime import RuntimeOptions, import_keras, prediction, predictor
from cnnkit.runtime.keras_predictor import KerasPredictor
from cnnkit.runtime.openvino_predictor import _in_float32, _stand_alone

# The largest difference of a probability to TensorFlow in float32. bfloat16 has 8 bits of
# precision: a probability moves by a few hundredths at most, where two classes are near.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.08}


NAMES = ["efficientnet-lite0", "squeezenet-1.1"]


def some_images(examples, side: int) -> np.ndarray:
    names = sorted(examples.glob("*.jpg"))
    assert len(names) >= 4
    read = [cv2.imread(str(name))[..., ::-1] for name in names]
    return np.stack(
        [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in read]
    )


def probabilities(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def references(examples):
    """Of a model's name: its bundle, images for it, and TensorFlow's outputs in float32."""

    @cache
    def made(name: str):
        bundle = open_model(name)
        images = some_images(examples, bundle.card.input.height)
        options = RuntimeOptions(device="cpu", runtime="tensorflow", precision="float32")
        return bundle, images, predictor(bundle.source(features=True), options).predict(images)

    return made


@pytest.fixture(params=NAMES)
def reference(request, references):
    """What `references` has of each model. Of the module, it would be made for each test anew:

    pytest drops what it made of a parameter where another set of parameters begins.
    """
    return references(request.param)


@pytest.mark.parametrize("shape", [(), (1, 4)], ids=str)
def test_a_graph_without_a_row_for_each_image_is_run_one_by_one(shape: tuple[int, ...]) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    images = ops.parameter([-1, 3, 8, 8], np.float32, name="images")
    mean = ops.reduce_mean(images, ops.constant([0, 1, 2, 3]), False)
    made = ov.Model([ops.add(mean, ops.constant(np.zeros(shape, np.float32)))], [images], "mean")
    source = SimpleNamespace(input_shape=(8, 8, 3), openvino=lambda: made, name="mean")
    compiled = _in_float32(ov.Core(), made, source, {})  # type: ignore[arg-type]
    assert not _stand_alone(compiled, source.input_shape)


@pytest.mark.parametrize(
    ("reference", "runtime", "precision"),
    [
        *((name, "openvino", precision) for name in NAMES for precision in TOLERANCES),
        ("squeezenet-1.1", "xla", "float32"),
        pytest.param("squeezenet-1.1", "xla", "bfloat16", marks=pytest.mark.slow),
        pytest.param("efficientnet-lite0", "xla", "float32", marks=pytest.mark.slow),
        pytest.param("efficientnet-lite0", "xla", "bfloat16", marks=pytest.mark.slow),
    ],
    indirect=["reference"],
)
def test_a_runtime_agrees_with_the_reference(reference, runtime, precision):
    bundle, images, expected = reference
    options = RuntimeOptions(device="cpu", runtime=runtime, precision=precision)
    try:
        compiled = predictor(bundle.source(features=True), options, batch_size=4)
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))
    assert (compiled.runtime, compiled.precision, compiled.device) == (runtime, precision, "cpu")
    outputs = compiled.predict(images)
    assert {name: value.dtype for name, value in outputs.items()} == {
        "scores": np.float32,
        "features": np.float32,
    }
    difference = probabilities(outputs["scores"]) - probabilities(expected["scores"])
    assert np.abs(difference).max() <= TOLERANCES[precision]
    if precision == "float32":
        np.testing.assert_allclose(outputs["features"], expected["features"], atol=1e-3)


def test_int8_is_near_the_reference_and_kept_apart_from_float(reference):
    bundle, images, expected = reference
    source = bundle.source(features=True)
    compiled = predictor(source, RuntimeOptions(precision="int8"))
    assert compiled.precision in ("int8", "int8 with 7-bit kernels")
    scores = compiled.predict(images)["scores"]
    assert np.corrcoef(scores.ravel(), expected["scores"].ravel())[0, 1] > 0.95
    assert np.abs(scores - expected["scores"]).max() > 1e-3
    in_float = replace(source, quantization=replace(source.quantization, in_float=True))
    simulated = predictor(in_float, RuntimeOptions(precision="int8")).predict(images)["scores"]
    assert np.corrcoef(simulated.ravel(), expected["scores"].ravel())[0, 1] > 0.95
    exact = predictor(source, RuntimeOptions(runtime="openvino", precision="float32"))
    np.testing.assert_allclose(exact.predict(images)["scores"], expected["scores"], atol=1e-3)


def test_a_keras_file_is_not_said_to_compute_in_bfloat16(tmp_path):
    """Its layers keep their type: what was reported as bfloat16 had been computed in float32."""
    keras = import_keras()
    inputs = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, scores).save(tmp_path / "small.keras")
    source = open_model(tmp_path / "small.keras").source()
    asked = RuntimeOptions(device="cpu", runtime="tensorflow", precision="bfloat16")
    with pytest.raises(RuntimeUnavailableError, match="whose layers compute in float32"):
        predictor(source, asked)
    on_a_card = KerasPredictor(source, "tensorflow", "gpu", "auto", 1)
    assert on_a_card.precision == "float32"
    own = KerasPredictor(open_model("squeezenet-1.1").source(), "tensorflow", "gpu", "auto", 1)
    assert own.precision == "bfloat16"


def test_int8_without_ranges_is_refused_in_one_line():
    source = open_model("yunet").source()
    message = "^`precision='int8'` requires activation ranges, which the card of yunet lacks. Use"
    for runtime in ("auto", "openvino"):
        with pytest.raises(RuntimeUnavailableError, match=message):
            predictor(source, RuntimeOptions(runtime=runtime, precision="int8"))


def test_ranges_that_are_not_the_models_are_refused():
    source = open_model("squeezenet-1.1").source()
    strange = replace(source.quantization, ranges={"other/kernel": (0.0, 1.0)})
    with pytest.raises(BundleError, match="must have a layer for each activation range"):
        predictor(replace(source, quantization=strange), RuntimeOptions(precision="int8"))


def test_features_are_never_int8_by_themselves():
    bundle = open_model("efficientnet-lite0")
    assert bundle.source().quantization.automatic
    assert not bundle.source(features=True).quantization.automatic


def test_any_number_of_images_and_threads_gives_the_same(reference):
    bundle, images, expected = reference
    options = RuntimeOptions(device="cpu", runtime="openvino", precision="float32")
    compiled = predictor(bundle.source(), options)
    batches = predictor(bundle.source(), options, batch_size=4)
    assert (compiled.batch_size, batches.batch_size) == (1, 4)
    many = np.concatenate([images] * 3)[:11]
    wanted = np.concatenate([expected["scores"]] * 3)[:11]
    for count in (1, 3, 4, 5, 11):
        scores = compiled.predict(many[:count])["scores"]
        np.testing.assert_allclose(scores, wanted[:count], atol=1e-3)
        in_batches = batches.predict(many[:count])["scores"]
        np.testing.assert_allclose(in_batches, scores, atol=1e-4)
    with ThreadPoolExecutor(8) as threads:
        alone = list(
            threads.map(lambda i: compiled.predict(many[i : i + 1])["scores"][0], range(11))
        )
    np.testing.assert_allclose(alone, wanted, atol=1e-3)


def test_xla_on_a_cpu_warns(reference, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnkit"), "propagate", True)
    bundle, _, _ = reference
    prediction._warn_of_xla_on_a_cpu.cache_clear()  # once a process is enough
    with caplog.at_level(logging.WARNING, logger="cnnkit"):
        predictor(bundle.source(), RuntimeOptions(device="cpu", runtime="xla"), batch_size=1)
    assert "XLA is slow for depthwise" in caplog.text


JAX = """
import importlib.abc, sys

class NoTensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoTensorFlow())
import numpy as np
from cnnkit.bundles import open_model
from cnnkit.runtime import RuntimeOptions, predictor
images = np.load(sys.argv[1])
source = open_model("squeezenet-1.1").source()
compiled = predictor(source, RuntimeOptions(device="cpu", runtime="xla", precision="float32"))
np.save(sys.argv[2], compiled.predict(images)["scores"])
import keras
print(keras.config.backend(), compiled.runtime, "tensorflow" not in sys.modules)
"""


@pytest.mark.slow
def test_the_jax_backend_agrees_without_tensorflow(examples, tmp_path):
    pytest.importorskip("jax")
    images = some_images(examples, 227)[:2]
    np.save(tmp_path / "images.npy", images)
    finished = subprocess.run(
        [sys.executable, "-c", JAX, str(tmp_path / "images.npy"), str(tmp_path / "scores.npy")],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.split() == ["jax", "xla", "True"]
    model = open_model("squeezenet-1.1").build()
    expected = np.asarray(model(images.astype(np.float32))["scores"])
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, atol=1e-3)


def test_keras_is_imported_quietly(capfd):
    import_keras()
    assert capfd.readouterr().err == ""
