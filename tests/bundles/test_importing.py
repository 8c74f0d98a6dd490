"""Graphs opened as they are, and made bundles of."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit import Classifier
from cnnkit.bundles import open_model
from cnnkit.classification.training.backbone import open_backbone
from cnnkit.errors import BundleError, CnnkitError, OutputError, RuntimeUnavailableError, UsageError
from cnnkit.lab.networks.opening import Wish, describe
from cnnkit.metrics import softmax
from cnnkit.results import Classification
from cnnkit.runtime import RuntimeOptions, openvino_predictor, predictor
from tests.bundles.graphs.making import (
    expected_scores,
    onnx_classifier,
    onnx_of_nodes,
    openvino_classifier,
    read_here,
    tflite_classifier,
)

SAID = {"names": "['a', 'b', 'c', 'd']", "imgsz": "[8, 8]", "task": "classify", "stride": "1"}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def test_a_file_that_says_enough_is_opened_as_it_is(tmp_path: Path, pixels: np.ndarray) -> None:
    path = onnx_classifier(tmp_path / "m.onnx", metadata=SAID)  # read in a process of its own
    classifier = Classifier.load(path, top_k=4, features=True, precision="float32")
    for image, result in zip(pixels, classifier.predict(list(pixels)), strict=True):
        assert isinstance(result, Classification)
        scores = softmax(expected_scores(image[None], 0, 255)[0])
        found = {one.label: one.score for one in result.predictions}
        assert found == pytest.approx(dict(zip("abcd", scores, strict=True)), abs=1e-5)
        np.testing.assert_allclose(result.features, image.mean((0, 1)) / 255, rtol=1e-4)


def test_embeddings_depend_on_all_that_a_graph_depends_on(tmp_path: Path) -> None:
    """An index of one is refused for another: its weights, and how pixels enter, are parts."""
    path = read_here(openvino_classifier(tmp_path / "m.xml"))
    cnnkit.import_model(path, tmp_path / "one", like="0-1")
    cnnkit.import_model(path, tmp_path / "other", like="imagenet")
    one, other = open_model(tmp_path / "one"), open_model(tmp_path / "other")
    assert one.card.weights == other.card.weights
    assert one.content_hash != other.content_hash
    card = json.loads((tmp_path / "one" / "card.json").read_text())
    numbers = bytearray((tmp_path / "one" / "model.bin").read_bytes())
    numbers[-1] ^= 1
    (tmp_path / "one" / "model.bin").write_bytes(numbers)
    card["graph"]["weights"]["sha256"] = hashlib.sha256(numbers).hexdigest()
    (tmp_path / "one" / "card.json").write_text(json.dumps(card))
    assert open_model(tmp_path / "one").content_hash != one.content_hash


@pytest.mark.parametrize("form", ["onnx", "tflite", "openvino"])
def test_a_bundle_answers_like_its_file(tmp_path: Path, form: str) -> None:
    make = {
        "onnx": lambda: onnx_classifier(tmp_path / "m.onnx", batch=1),
        "tflite": lambda: tflite_classifier(tmp_path / "m.tflite"),
        "openvino": lambda: openvino_classifier(tmp_path / "m.xml"),
    }
    path = read_here(make[form]())
    made = cnnkit.import_model(path, tmp_path / "bundle", like="0-1", name="mine")
    files = {file.name for file in (tmp_path / "bundle").iterdir()}
    weights = {"model.xml", "model.bin"} if form == "openvino" else {f"model.{form}"}
    assert files == {"card.json", "labels.txt", *weights}
    assert (made.task, made.card["name"], made.card["graph"]["form"]) == ("classify", "mine", form)
    (tmp_path / "bundle").rename(tmp_path / "moved")
    path.unlink()
    bundle = open_model(tmp_path / "moved")
    read_here(tmp_path / "moved" / bundle.card.weights["file"])
    side = bundle.card.input.height
    result = Classifier.load(tmp_path / "moved").predict(np.full((side, side, 3), 9, np.uint8))
    assert isinstance(result, Classification) and len(result.predictions) >= 3
    assert bundle.notes == ()


def mixing_classifier(path: Path) -> Path:
    """Write a network that adds the largest means of the batch to those of each image."""
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["means"], ["largest"], axes=[0], keepdims=1),
        helper.make_node("Add", ["means", "largest"], ["y"]),
    ]
    return read_here(onnx_of_nodes(path, nodes, []))


def test_images_of_a_batch_stand_alone(
    tmp_path: Path, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    """A row must not depend on the images beside it."""
    path = mixing_classifier(tmp_path / "m.onnx")
    with caplog.at_level(logging.WARNING, "cnnkit"):
        cnnkit.import_model(path, tmp_path / "b", like="0-1")
    assert "mixes the images of a batch: it is run one by one" in caplog.text
    read_here(tmp_path / "b" / "model.onnx")
    source = open_model(tmp_path / "b").source()
    exact = RuntimeOptions(precision="float32")
    alone = np.concatenate(
        [predictor(source, exact).predict(one[None])["scores"] for one in pixels]
    )
    in_batches = predictor(source, exact, batch_size=3)
    assert in_batches.batch_size == 1
    np.testing.assert_allclose(in_batches.predict(pixels)["scores"], alone, rtol=1e-5)
    caplog.clear()
    cnnkit.import_model(read_here(onnx_classifier(tmp_path / "o.onnx")), tmp_path / "o", like="0-1")
    assert "mixes" not in caplog.text
    read_here(tmp_path / "o" / "model.onnx")
    assert predictor(open_model(tmp_path / "o").source(), exact, batch_size=3).batch_size == 3


@pytest.mark.parametrize(("precision", "times"), [("float32", 1), ("bfloat16", 2)])
def test_a_graph_is_compiled_once_with_the_threads_of_the_user(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch, precision: str, times: int
) -> None:
    path = read_here(onnx_classifier(tmp_path / "o.onnx"))
    cnnkit.import_model(path, tmp_path / "b", like="0-1")
    read_here(tmp_path / "b" / "model.onnx")
    asked = []

    class Core(openvino_predictor.ov.Core):
        """Notes how it is to compile."""

        def compile_model(self, model, device_name=None, config=None):
            """See `openvino.Core`."""
            asked.append(config)
            return super().compile_model(model, device_name, config)

    monkeypatch.setattr(openvino_predictor.ov, "Core", Core)
    monkeypatch.setattr(
        openvino_predictor, "choose_precision", lambda processor, asked, source: precision
    )
    options = RuntimeOptions(precision=precision, threads=1)
    one = predictor(open_model(tmp_path / "b").source(), options, batch_size=3)
    assert one.predict(pixels)["scores"].shape == (3, 4)
    assert [(c["INFERENCE_NUM_THREADS"], c["NUM_STREAMS"]) for c in asked] == [(1, 1)] * times


def test_an_export_of_ours_keeps_the_threshold_of_unknown(tmp_path: Path) -> None:
    path = read_here(onnx_classifier(tmp_path / "m.onnx"))
    description = {
        "task": "classify",
        "inputs": [{"shape": [None, 8, 8, 3], "fit": "stretch"}],
        "labels": list("abcd"),
        "calibration": {"temperature": 0.7, "threshold": 1},
        "made_by": "cnnkit 1",
        "sha256": [hashlib.sha256(path.read_bytes()).hexdigest()],
    }
    path.with_name("m.onnx.json").write_text(json.dumps(description))
    cnnkit.import_model(path, tmp_path / "b", scores="logits")
    read_here(tmp_path / "b" / "model.onnx")
    for model in (path, tmp_path / "b"):
        card = open_model(model).card
        assert (card.threshold, card.temperature) == (1.0, 1.0)
    answer = Classifier.load(tmp_path / "b").predict(np.full((8, 8, 3), 9, np.uint8))
    assert isinstance(answer, Classification) and answer.label == "unknown"


def test_logits_that_add_up_to_1_are_asked_about(tmp_path: Path) -> None:
    """A softmax in other operations: its scores were made probabilities once more."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Exp", ["means"], ["growth"]),
        helper.make_node("ReduceL1", ["growth"], ["sum"], axes=[1], keepdims=1),
        helper.make_node("Reciprocal", ["sum"], ["share"]),
        helper.make_node("MatMul", ["share", "one"], ["shares"]),
        helper.make_node("Mul", ["growth", "shares"], ["wide"]),
        helper.make_node("MatMul", ["wide", "same"], ["y"]),
    ]
    tensors = {
        "one": np.ones((1, 3), np.float32),
        "same": np.eye(3, dtype=np.float32),
    }
    arrays = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    path = read_here(onnx_of_nodes(tmp_path / "m.onnx", nodes, arrays))
    with pytest.raises(UsageError, match="`scores` must be given where the last operations look"):
        cnnkit.import_model(path, tmp_path / "b", like="0-1")
    assert not (tmp_path / "b").exists()
    for kind in ("probabilities", "logits"):
        made = cnnkit.import_model(path, tmp_path / kind, like="0-1", scores=kind)
        assert made.card["outputs"]["scores"]["kind"] == kind


def test_scores_that_are_no_numbers_or_always_the_same_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from onnx import helper, numpy_helper

    for kind in ("Div", "Mul"):
        nodes = [
            helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node(kind, ["means", "zero"], ["y"]),
        ]
        zero = numpy_helper.from_array(np.float32(0), "zero")
        path = read_here(onnx_of_nodes(tmp_path / f"{kind}.onnx", nodes, [zero]))
        if kind == "Div":
            with pytest.raises(BundleError, match="must give finite scores for an image of noise"):
                cnnkit.import_model(path, tmp_path / "b", like="0-1")
            continue
        with caplog.at_level(logging.WARNING, "cnnkit"):
            cnnkit.import_model(path, tmp_path / "b", like="0-1")
        assert "gives the same scores for different images of noise" in caplog.text
        assert "mixes" not in caplog.text


def test_logits_of_classes_that_are_ruled_out_may_be_minus_infinity(tmp_path: Path) -> None:
    """A mask of a part of the classes, or the logarithm of a softmax that underflows."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["means", "mask"], ["y"]),
    ]
    mask = numpy_helper.from_array(np.array([0, -np.inf, 0], np.float32), "mask")
    path = read_here(onnx_of_nodes(tmp_path / "m.onnx", nodes, [mask]))
    cnnkit.import_model(path, tmp_path / "b", like="0-1")
    gray = np.full((9, 9, 3), 90, np.uint8)
    (row,) = cnnkit.Classifier.load(tmp_path / "b", top_k=3).predict([gray])
    assert [round(one.score, 6) for one in row.predictions] == [0.5, 0.5, 0.0]


def test_changed_files_are_refused(tmp_path: Path) -> None:
    path = read_here(openvino_classifier(tmp_path / "m.xml"))
    cnnkit.import_model(path, tmp_path / "b", like="0-1")
    for name in ("model.xml", "model.bin", "labels.txt"):
        folder = shutil.copytree(tmp_path / "b", tmp_path / name)
        with (folder / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(BundleError, match="must have the sha256 of its card"):
            open_model(folder)


def test_a_card_is_checked(tmp_path: Path) -> None:
    path = read_here(onnx_classifier(tmp_path / "m.onnx"))
    cnnkit.import_model(path, tmp_path / "b", like="0-1")
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    for key, value, message in (
        ("std", [0], "must be a list of 1 or 3 numbers"),
        ("mean", ["x"], "must be a list of 1 or 3 numbers"),
        ("mean", [1, 2], "must be a list of 1 or 3 numbers"),
        ("layout", "HWCN", "must be one of NHWC, NCHW"),
        ("colors", "CMYK", "must be one of RGB, BGR, gray"),
    ):
        graph = card["graph"] | {"input": card["graph"]["input"] | {key: value}}
        (tmp_path / "b" / "card.json").write_text(json.dumps(card | {"graph": graph}))
        with pytest.raises(BundleError, match=message):
            open_model(tmp_path / "b")


def test_what_needs_layers_is_refused_in_one_line(tmp_path: Path) -> None:
    path = read_here(onnx_classifier(tmp_path / "m.onnx", metadata=SAID))
    said = "m is a graph that can only be run, by OpenVINO. Use its Keras model"
    with pytest.raises(CnnkitError, match=said):
        open_model(path).build()
    with pytest.raises(CnnkitError, match=said):
        cnnkit.export(path, tmp_path / "x.keras")
    with pytest.raises(UsageError, match="`method` must be occlusion for m, a graph that can"):
        cnnkit.Explainer.load(path)
    heat = cnnkit.Explainer.load(path, "occlusion").predict(np.zeros((8, 8, 3), np.uint8))
    assert isinstance(heat, cnnkit.Explanation)
    with pytest.raises(CnnkitError, match="a graph that can only be run"):
        list(describe(str(path), Wish()))
    with pytest.raises(UsageError, match="`backbone` must be an embedded classifier"):
        open_backbone(str(path))
    for options in ({"runtime": "xla"}, {"runtime": "tensorflow"}, {"device": "gpu"}):
        with pytest.raises(RuntimeUnavailableError, match="which only OpenVINO runs"):
            Classifier.load(path, **options)


def test_a_folder_without_images_to_look_at_is_refused_first(tmp_path: Path) -> None:
    """A mistyped folder would leave a bundle at which nobody has looked."""
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        with pytest.raises(UsageError, match="`check_on` must name a folder with images"):
            cnnkit.import_model(
                tmp_path / "m.onnx", tmp_path / "b", like="0-1", check_on=tmp_path / name
            )
    assert not (tmp_path / "b").exists()


def test_nothing_is_left_of_what_cannot_be_imported(tmp_path: Path) -> None:
    path = read_here(onnx_classifier(tmp_path / "m.onnx"))
    with pytest.raises(UsageError, match="Name a family with `like`"):
        cnnkit.import_model(path, tmp_path / "b")
    with pytest.raises(UsageError, match="`mean` must be one finite number, or three"):
        cnnkit.import_model(path, tmp_path / "b", mean=(1.0, 2.0))
    with pytest.raises(UsageError, match="`std` must be above 0"):
        cnnkit.import_model(path, tmp_path / "b", std=(0.0,))
    with pytest.raises(BundleError, match="lie between 0 and 1"):
        cnnkit.import_model(path, tmp_path / "b", like="0-255", scores="probabilities")
    with pytest.raises(BundleError, match="have the tensor 'nowhere'"):
        cnnkit.import_model(path, tmp_path / "b", like="0-255", features="nowhere")
    assert not list(tmp_path.glob("*b*/")) and not list(tmp_path.glob(".cnnkit*"))
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        cnnkit.import_model(path, tmp_path / "b", like="0-1")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "xml", "tflite", ""])
def test_an_export_of_ours_answers_like_the_model(
    tmp_path: Path, examples: Path, form: str
) -> None:
    """The same probabilities, within what an export may differ."""
    target = tmp_path / f"model{'.' if form else ''}{form}"
    cnnkit.export("squeezenet-1.1", target, None if form else "saved-model")
    own = Classifier.load("squeezenet-1.1", top_k=5, precision="float32").predict(
        sorted(examples.glob("*.jpg"))[:3]
    )
    other = Classifier.load(target, top_k=5, precision="float32").predict(
        sorted(examples.glob("*.jpg"))[:3]
    )
    for one, two in zip(own, other, strict=True):
        assert isinstance(one, Classification) and isinstance(two, Classification)
        assert [p.label for p in one.predictions] == [p.label for p in two.predictions]
        for first, second in zip(one.predictions, two.predictions, strict=True):
            assert second.score == pytest.approx(first.score, rel=1e-3, abs=1e-6)
