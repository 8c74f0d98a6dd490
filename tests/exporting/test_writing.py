"""Exports are run in their own engines here once more, apart from the package's own check."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from cnnkit.bundles import embedded_folder, open_model
from cnnkit.errors import OutputError, RuntimeUnavailableError, UsageError
from cnnkit.exporting import (
    FORMATS,
    CheckFailedError,
    Output,
    Request,
    classifier_networks,
    images_in,
    writing,
)
from cnnkit.exporting import export_model as export_networks
from cnnkit.exporting.checking import ExpectedOutputs, differences
from cnnkit.exporting.conversion import refusal
from cnnkit.exporting.images import photographs
from cnnkit.exporting.networks import TOLERANCE
from cnnkit.metrics import softmax
from tests.exporting.running import EVERY_FORM, left_in, needs_litert, needs_onnx, only_fast


def export_model(bundle, form, target, *, batch=None, images=None, overwrite=False):
    """Export a classifier, as the command does."""
    networks = classifier_networks(bundle, Request(form, batch, images=images))
    return export_networks(bundle, networks, form, target, overwrite=overwrite)


def answers(form: str, path: Path, images: np.ndarray) -> np.ndarray:
    """Run an export as somebody without cnnkit would."""
    if form == "keras":
        return np.asarray(keras.models.load_model(path).predict(images, verbose=0)["probabilities"])
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        assert [value.name for value in session.get_outputs()] == ["probabilities"]
        assert session.get_inputs()[0].shape[0] in ("batch", len(images))
        return session.run(None, {"image": images})[0]
    if form == "openvino":
        import openvino

        compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return compiled(images)[0]
    if form == "litert":
        return litert_answers(path, images)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()


def litert_answers(path: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (entry,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(entry["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def example_images(folder: Path, side: int) -> np.ndarray:
    images = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.jpg"))[:3]]
    return np.stack([cv2.resize(image, (side, side)) for image in images])


def target_for(form: str, folder: Path) -> Path:
    return folder / f"exported{FORMATS[form].suffix}"


@pytest.fixture(scope="module")
def squeezenet():
    return open_model("squeezenet-1.1")


@pytest.fixture(scope="module")
def squeezenet_truth(squeezenet, examples):
    """Images, and the probabilities of the network called directly."""
    images = example_images(examples, 227)
    scores = squeezenet.build()(images.astype(np.float32), training=False)["scores"]
    return images, softmax(np.asarray(scores))


@pytest.mark.parametrize("form", only_fast("openvino"))
def test_the_export_gives_what_the_model_gives(squeezenet, squeezenet_truth, tmp_path, form):
    images, expected = squeezenet_truth
    target = target_for(form, tmp_path)
    exported = export_model(squeezenet, form, target)
    given = answers(form, target, images)
    assert given.dtype == np.float32 and given.shape == (3, 1000)
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-6)
    assert exported.path == target and exported.images == 10
    assert 0 <= exported.difference < 1e-4
    assert exported.bytes > 4 * 1_200_000  # float32 weights
    content = json.loads(exported.description.read_text("utf-8"))
    assert content["checked"]["images"] == exported.images
    assert left_in(tmp_path) == sorted([*content["files"], f"{target.name}.json"])
    assert content["format"] == form and len(content["labels"]) == 1000
    assert content["inputs"][0]["shape"] == [None, 227, 227, 3]
    (given,) = content["inputs"]
    assert (given["fit"], given["interpolation"]) == ("stretch", "lanczos")
    assert (content["task"], content["schema_version"]) == ("classify", 2)


@pytest.mark.slow
@pytest.mark.parametrize("form", EVERY_FORM)
def test_the_default_classifier_exports_with_a_fixed_batch(tmp_path, examples, form):
    bundle = open_model("efficientnet-lite0")
    images = example_images(examples, 224)
    scores = bundle.build()(images.astype(np.float32), training=False)["scores"]
    target = target_for(form, tmp_path)
    exported = export_model(bundle, form, target, batch=3)
    given = answers(form, target, images)
    np.testing.assert_allclose(given, softmax(np.asarray(scores)), rtol=1e-3, atol=1e-6)
    assert json.loads(exported.description.read_text())["outputs"][0]["shape"] == [3, 1000]


@pytest.mark.slow
def test_the_temperature_is_inside(squeezenet_truth, tmp_path):
    folder = shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")
    card = json.loads((folder / "card.json").read_text())
    card["calibration"]["temperature"] = 2.5
    (folder / "card.json").write_text(json.dumps(card))
    target = tmp_path / "own.keras"
    export_model(open_model(str(folder)), "keras", target)
    images, expected = squeezenet_truth
    flatter = expected ** (1 / 2.5)
    flatter /= flatter.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers("keras", target, images), flatter, rtol=1e-3, atol=1e-6)


def small_classifier(path: Path, channels: int, units: int, activation: str) -> None:
    """Save a small network of random weights as a ``.keras`` file."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((24, 32, channels)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(units, activation=activation),
        ]
    )
    model.save(path)


@pytest.mark.parametrize(
    ("channels", "units", "activation"),
    [
        (3, 5, "softmax"),
        (3, 5, "linear"),
        (3, 5, "sigmoid"),
        (3, 1, "sigmoid"),
        (3, 1, "linear"),
        (1, 3, "softmax"),
    ],
)
def test_every_kind_of_scores_comes_out_as_probabilities(tmp_path, channels, units, activation):
    small_classifier(tmp_path / "small.keras", channels, units, activation)
    original = keras.models.load_model(tmp_path / "small.keras")
    export_model(open_model(str(tmp_path / "small.keras")), "keras", tmp_path / "out.keras")
    images = np.random.default_rng(1).integers(0, 256, (4, 24, 32, 3), np.uint8)
    pixels = images.astype(np.float32)
    if channels == 1:
        pixels = pixels @ np.float32([[0.2989], [0.5870], [0.1140]])
    expected = np.asarray(original(pixels))
    if activation == "linear":
        expected = softmax(expected) if units > 1 else 1 / (1 + np.exp(-expected))
    if units == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    given = answers("keras", tmp_path / "out.keras", images)
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-6)
    # cnnkit itself opens it again, and takes the probabilities for what they are.
    again = open_model(str(tmp_path / "out.keras"))
    assert (again.card.scores_kind, again.card.classes) == ("probabilities", expected.shape[1])


@pytest.mark.parametrize("form", only_fast("onnx"))
def test_random_layers_and_half_precision_come_out_plain(tmp_path, form):
    """Augmentation inside, trained in mixed float16, one logit behind an operation."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((24, 32, 3))
    x = layers.RandomFlip()(layers.RandomContrast(0.9)(layers.RandomRotation(0.5)(image)))
    x = keras.Sequential([layers.RandomErasing(1.0), layers.Rescaling(1 / 255)])(x)
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(x[:, 2:-2])
    x = layers.Dense(1, dtype="mixed_float16")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Identity(dtype="float32")(x))
    model.save(tmp_path / "plain.keras")
    images = np.random.default_rng(1).integers(0, 256, (4, 24, 32, 3), np.uint8)
    second = 1 / (1 + np.exp(-np.asarray(model(images.astype(np.float32), training=False))))
    target = target_for(form, tmp_path)
    export_model(open_model(str(tmp_path / "plain.keras")), form, target)
    given = answers(form, target, images)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, np.concatenate([1 - second, second], axis=1), atol=3e-3)
    np.testing.assert_array_equal(given, answers(form, target, images))


@pytest.mark.parametrize(
    ("kind", "units", "activation"),
    [("probability", 1, "sigmoid"), ("probabilities", 3, "softmax"), ("logits", 3, "linear")],
)
def test_a_temperature_reaches_scores_of_every_kind(tmp_path, kind, units, activation):
    folder = tmp_path / "own"
    folder.mkdir()
    small_classifier(folder / "model.keras", 3, units, activation)
    original = keras.models.load_model(folder / "model.keras")
    write_card(folder, max(units, 2), {"scores": {"kind": kind}}, {"temperature": 2.0})
    bundle = open_model(str(folder))
    target = target_for("keras", tmp_path)
    export_model(bundle, "keras", target)
    images = np.random.default_rng(1).integers(0, 256, (4, 24, 32, 3), np.uint8)
    scores = np.asarray(original(images.astype(np.float32)), np.float64)
    both = np.concatenate([1 - scores, scores], axis=1) if units == 1 else scores
    both = softmax(both) if kind == "logits" else both
    expected = np.sqrt(both) / np.sqrt(both).sum(axis=1, keepdims=True)  # logits halved
    np.testing.assert_allclose(answers("keras", target, images), expected, rtol=1e-3)
    own = np.stack([bundle.probabilities(row) for row in scores])
    np.testing.assert_allclose(own, expected, rtol=1e-5)


def write_card(folder, classes, outputs, calibration):
    """Write the card and the labels of a bundle that holds a ``model.keras``."""
    (folder / "labels.txt").write_text("".join(f"label {i}\n" for i in range(classes)))
    card = {
        "schema_version": 1,
        "name": "own",
        "task": "classify",
        "architecture": {"builder": None},
        "input": {"height": 24, "width": 32},
        "classes": classes,
        "outputs": outputs,
        "calibration": calibration,
    }
    (folder / "card.json").write_text(json.dumps(card))


@pytest.fixture
def small(tmp_path):
    (tmp_path / "models").mkdir()
    small_classifier(tmp_path / "models" / "small.keras", 3, 5, "linear")
    return open_model(str(tmp_path / "models" / "small.keras"))


@pytest.mark.parametrize("form", only_fast("keras", "onnx"))
def test_a_wrong_export_is_not_kept(small, tmp_path, form, monkeypatch):
    """A converter that moves one weight is found out; what was there before stays."""

    def faulty(model, form, path):
        variable = next(v for v in model.weights if v.path.endswith("bias") and v.shape == (5,))
        variable.assign(np.float32([0, 0, 0.01, 0, 0]))
        convert(model, form, path)

    convert = writing.convert
    folder = tmp_path / "exports"
    folder.mkdir()
    target = target_for(form, folder)
    monkeypatch.setattr(writing, "convert", faulty)
    with pytest.raises(CheckFailedError, match=r"must differ by at most 0\.001") as caught:
        export_model(small, form, target)
    assert 1e-3 < caught.value.difference < 0.1
    assert left_in(folder) == []
    monkeypatch.setattr(writing, "convert", convert)
    exported = export_model(small, form, target)
    before = exported.description.read_bytes(), left_in(folder)
    monkeypatch.setattr(writing, "convert", faulty)
    with pytest.raises(CheckFailedError):
        export_model(small, form, target, overwrite=True)
    assert (exported.description.read_bytes(), left_in(folder)) == before


def test_what_cannot_be_run_is_not_kept(small, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "convert", lambda m, f, path: path.write_bytes(b"no model"))
    with pytest.raises(CheckFailedError, match="cannot be run"):
        export_model(small, "keras", tmp_path / "out.keras")
    assert left_in(tmp_path) == ["models"]


@needs_onnx
def test_onnx_refuses_a_grouped_convolution(tmp_path):
    """The converter writes an invalid file for it and says nothing."""
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3),
            keras.layers.Conv2D(8, 3, groups=4),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    model.save(tmp_path / "grouped.keras")
    with pytest.raises((OutputError, CheckFailedError), match=r"cannot be (made|run)"):
        export_model(open_model(str(tmp_path / "grouped.keras")), "onnx", tmp_path / "out.onnx")
    assert left_in(tmp_path) == ["grouped.keras"]


@pytest.mark.parametrize(
    ("given", "difference"),
    [
        (np.float32([[0.2, 0.8], [0.5, 0.5]]), 0.0),
        (np.float32([[0.2, 0.8], [0.5, np.nan]]), np.nan),
        (np.float32([[0.2, 0.8], [0.5004, 0.5]]), 8e-4),
    ],
)
def test_the_difference_is_a_share_of_the_probability(given, difference):
    expected = np.float32([[0.2, 0.8], [0.5, 0.5]])
    output = Output("probabilities", "", "probability", "a probability")
    truth = ExpectedOutputs(
        [{"image": np.arange(2, dtype=np.uint8)}], [{"probabilities": expected}]
    )

    def run(inputs):
        return {"probabilities": given[inputs["image"]]}

    # A batch that the images do not fill is filled up from the first on.
    for batch in (None, 1, 3):
        (found,) = differences(run, (output,), truth, batch).values()
        assert found == pytest.approx(difference, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("least", "difference"),
    [(1e-6, 0.1), (1.5, 0.1 / 1.5), (10.0, 0.01), (None, 0.05)],
)
def test_a_difference_is_measured_by_what_the_output_says(least, difference):
    wanted, given = np.float32([[0.5, -2.0], [1.0, 4.0]]), np.float32([[0.5, -1.9], [1.1, 4.0]])
    found = Output("numbers", "", "number", "", least).difference(given, wanted)
    assert found == pytest.approx(difference, rel=1e-5)


def test_outputs_of_another_shape_are_no_match():
    with pytest.raises(ValueError, match="has the shape"):
        Output("boxes", "", "box", "").difference(np.zeros((2, 3)), np.zeros((2, 4)))


def test_photos_are_the_same_every_time_and_tell_networks_apart(squeezenet):
    images = photographs(227, 227)
    assert images.shape == (10, 227, 227, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, photographs(227, 227))
    assert len({p.tobytes() for p in images}) == 10
    network = squeezenet.build()
    right, swapped = (
        softmax(np.asarray(network(p.astype(np.float32))["scores"]))
        for p in (images, images[..., ::-1])
    )
    assert np.max(np.abs(right - swapped) / right) > 100 * TOLERANCE


@pytest.mark.parametrize("form", ["openvino", pytest.param("saved-model", marks=pytest.mark.slow)])
def test_an_earlier_export_is_replaced_only_when_asked(small, tmp_path, form):
    target = target_for(form, tmp_path)
    export_model(small, form, target)
    with pytest.raises(UsageError, match="exists already"):
        export_model(small, form, target)
    before = left_in(tmp_path)
    export_model(small, form, target, overwrite=True)
    assert left_in(tmp_path) == before


def test_an_export_that_another_run_has_just_finished_stays(small, tmp_path, monkeypatch):
    def slow(model, form, path):
        convert(model, form, path)
        (tmp_path / "out.keras").write_bytes(b"another's")

    convert = writing.convert
    monkeypatch.setattr(writing, "convert", slow)
    with pytest.raises(UsageError, match="exists already"):
        export_model(small, "keras", tmp_path / "out.keras")
    assert (tmp_path / "out.keras").read_bytes() == b"another's"
    assert left_in(tmp_path) == ["models", "out.keras"]


def test_overwrite_never_takes_a_folder_that_is_no_export(small, tmp_path):
    for name in ("photos", "small.xml", "b.xml.json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cat.jpg").write_text("dear")
    wanted = [("saved-model", "photos"), ("openvino", "small.xml"), ("openvino", "b.xml")]
    for form, name in wanted:
        with pytest.raises(UsageError, match="the folder"):
            export_model(small, form, tmp_path / name, overwrite=True)
    assert len(list(tmp_path.glob("*/cat.jpg"))) == 3


@pytest.mark.parametrize(
    ("form", "name", "options", "message"),
    [
        ("coreml", "a.mlmodel", {}, "`format` must be one of keras, onnx"),
        ("keras", "a.h5", {}, "`output` must end in .keras"),
        ("saved-model", "a.onnx", {}, "use `format='onnx'`"),
        ("keras", "a.keras", {"batch": 0}, "`batch` must be at least 1"),
        ("keras", "no/such/a.keras", {}, "an existing folder"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_built(
    small, tmp_path, form, name, options, message
):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        export_model(small, form, tmp_path / name, **options)


def test_a_missing_library_is_named_with_its_remedy(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'cnnkit\[export\]'"):
        export_model(small, "onnx", tmp_path / "a.onnx")


def test_images_of_ones_own_to_check_on(small, examples, tmp_path):
    images = list(images_in(str(examples)))
    assert len(images) == len(list(examples.glob("*.jpg")))
    exported = export_model(small, "keras", tmp_path / "own.keras", images=images)
    assert exported.images == len(images)
    (tmp_path / "torn.jpg").write_text("torn")
    with pytest.raises(UsageError, match="`check_on` must"):
        list(images_in(str(tmp_path / "torn.jpg")))


@pytest.mark.slow
@needs_onnx
@needs_litert
def test_the_command_lines_that_need_the_extra_work(run_cnnkit):
    """The page's other ones are run with those of all pages."""
    text = (Path(__file__).resolve().parents[2] / "docs/export.md").read_text("utf-8")
    lines = re.findall(r"^    cnnkit (.+)$", text, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        done = run_cnnkit(*shlex.split(line), timeout=400)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a.onnx cannot be written: No space"),
        (ValueError("no such layer\nat all"), "onnx refuses the model: no such layer"),
    ],
)
def test_a_full_disk_is_not_called_the_models_fault(error: Exception, told: str) -> None:
    assert told in str(refusal(Path("new/a.onnx"), "onnx", error))
