"""Detectors in other tools' formats: their heads, their preprocessing, and what they find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit import Detector
from cnnkit.bundles import open_model
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.errors import BundleError, UsageError
from cnnkit.results import Detections
from tests.bundles.graphs.making import (
    onnx_classifier,
    onnx_detector,
    onnx_finished,
    onnx_lists,
    onnx_of_nodes,
    onnx_pair,
    onnx_rows,
    read_here,
)

SAID = {"names": "{0: 'cat', 1: 'dog'}", "imgsz": "[32, 32]", "task": "detect", "stride": "32"}


def found_in(model: Path, image: np.ndarray, **options: float) -> Detections:
    found = Detector.load(model, precision="float32", **options).predict(image)
    assert isinstance(found, Detections)
    return found


def test_an_export_of_ultralytics_is_opened_as_it_is(tmp_path: Path) -> None:
    path = read_here(onnx_detector(tmp_path / "yolo.onnx", metadata=SAID))
    card = open_model(path).card
    assert (card.task, detector_spec(card).kind) == ("detect", "yolov8")
    assert (card.input.fit, card.input.pad_value) == ("pad", 114)
    found = found_in(path, np.full((64, 64, 3), 204, np.uint8))
    assert found.labels == ("dog",)
    np.testing.assert_allclose(found.scores, [0.8], atol=1e-4)
    np.testing.assert_allclose(found.xyxy, [[24, 20, 40, 28]], atol=1e-3)
    assert len(found_in(path, np.zeros((64, 64, 3), np.uint8)).labels) == 0


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_bundle_finds_what_its_file_finds(tmp_path: Path, batch: int | str) -> None:
    path = read_here(onnx_detector(tmp_path / "yolo.onnx", batch=batch))
    (tmp_path / "l.txt").write_text("cat\ndog\n")
    assert "using what its head's project does" in open_model(path).notes[-1]
    made = cnnkit.import_model(
        path, tmp_path / "b", labels=tmp_path / "l.txt", mean=(0,), std=(510,)
    )
    assert (made.task, made.card["detector"]["kind"]) == ("detect", "yolov8")
    images = [np.full((32, 64, 3), 255, np.uint8), np.full((32, 32, 3), 204, np.uint8)]
    results = Detector.load(tmp_path / "b", precision="float32").predict(images)
    scores = [float(one.scores[0]) for one in results if isinstance(one, Detections)]
    bars = (255 * 16 + 114 * 16) / 32 / 510  # half of the first input is bars
    np.testing.assert_allclose(scores, [bars, 0.4], atol=1e-4)


def test_the_sizes_that_a_network_asks_for_are_its_own(tmp_path: Path) -> None:
    path = read_here(onnx_lists(tmp_path / "dfine.onnx"))
    with pytest.raises(UsageError, match=r"does not say how many classes it finds.*`labels`"):
        cnnkit.import_model(path, tmp_path / "b", like="detections")
    (tmp_path / "l.txt").write_text("cat\ndog\n")
    cnnkit.import_model(path, tmp_path / "b", labels=tmp_path / "l.txt")
    card = open_model(tmp_path / "b").card
    assert set(card.networks["network"].outputs) == {"labels", "boxes", "scores"}
    found = found_in(tmp_path / "b", np.full((64, 64, 3), 204, np.uint8))
    assert found.labels == ("dog",)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 32, 32]], atol=1e-3)


TF = ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]
TFLITE = [f"TFLite_Detection_PostProcess{end}" for end in ("", ":1", ":2", ":3")]


@pytest.mark.parametrize(("names", "first"), [(TF, 1), (TFLITE, 0)], ids=["tf", "tflite"])
@pytest.mark.parametrize("background", ["", "???\n", "__background__\n", "Background\n"])
def test_a_line_for_the_background_shifts_no_label(
    tmp_path: Path, names: list[str], first: int, background: str
) -> None:
    """TensorFlow's files of labels begin with one, and its finished detections have none."""
    path = read_here(onnx_finished(tmp_path / "ssd.onnx", names, first + 1))
    (tmp_path / "l.txt").write_text(f"{background}cat\ndog\n???\n")
    made = cnnkit.import_model(path, tmp_path / "b", labels=tmp_path / "l.txt", like="0-255")
    assert made.card["classes"] == 3
    found = found_in(tmp_path / "b", np.full((64, 64, 3), 204, np.uint8))
    assert found.labels == ("dog",)
    np.testing.assert_allclose(found.scores, [0.8], atol=1e-4)


def test_a_head_that_is_not_known_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    from onnx import helper

    path = onnx_of_nodes(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [])
    message = r"m\.onnx: the outputs must be those of a known detector head\. Received: y \(1 x 3"
    with pytest.raises(BundleError, match=message):
        open_model(read_here(path))
    with pytest.raises(BundleError, match="the outputs must be those of yolox"):
        cnnkit.import_model(path, tmp_path / "b", task="detect", like="yolox")
    classifier = read_here(onnx_classifier(tmp_path / "c.onnx"))
    with pytest.raises(BundleError, match="the outputs must be those of a known detector head"):
        cnnkit.import_model(classifier, tmp_path / "b", task="detect", like="imagenet")
    with pytest.raises(UsageError, match=r"`like` must be one of .*yolov8"):
        cnnkit.import_model(classifier, tmp_path / "b", task="detect", like="nothing")
    task = dict(SAID, task="segment")
    path = read_here(onnx_detector(tmp_path / "s.onnx", metadata=task))
    with pytest.raises(BundleError, match=r"must be a model for classify or detect.*for segment"):
        open_model(path)


def test_a_description_of_ours_is_enough(tmp_path: Path) -> None:
    path = onnx_pair(tmp_path / "m.onnx")
    image = {"shape": [None, 32, 32, 3], "fit": "pad", "bars": {"value": 9}}
    content = {
        "task": "detect",
        "made_by": "cnnkit 1",
        "inputs": [image],
        "labels": ["cat", "dog"],
        "suppression": {"confidence": 0.6, "iou": 0.3, "thresholds": {}, "category_ids": None},
    }
    (tmp_path / "m.onnx.json").write_text(json.dumps(content))
    card = open_model(read_here(path)).card
    section = detector_spec(card)
    assert (section.kind, section.confidence, section.iou) == ("boxes-scores", 0.6, 0.3)
    assert (card.input.fit, card.input.pad_value) == ("pad", 9)
    found = found_in(path, np.full((64, 64, 3), 200, np.uint8))
    assert found.labels == ("dog",)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 20, 20]], atol=1e-3)


def test_an_objectness_that_is_always_1_is_yolov6s(tmp_path: Path) -> None:
    """Opened as YOLOX's it saw blue, green, red, 0 to 255."""
    path = read_here(onnx_rows(tmp_path / "yolo.onnx", is_sure=True))
    card = open_model(path).card
    assert card.content["detector"]["profile"] == "yolov6"
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 204  # red
    found = found_in(path, image)
    np.testing.assert_allclose(found.scores, [0.8], atol=1e-4)
    np.testing.assert_allclose(found.xyxy, [[12, 10, 20, 14]], atol=1e-3)
    other = read_here(onnx_rows(tmp_path / "x.onnx", is_sure=False))
    assert open_model(other).card.content["detector"]["profile"] == "yolox"


def test_evaluation_takes_such_a_detector(tmp_path: Path) -> None:
    from PIL import Image

    path = read_here(onnx_detector(tmp_path / "yolo.onnx", metadata=SAID))
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text("train: images\nval: images\nnames: [cat, dog]\n")
    for number in range(2):
        Image.new("RGB", (64, 64), (204, 204, 204)).save(folder / "images" / f"{number}.png")
        (folder / "labels" / f"{number}.txt").write_text("1 0.5 0.375 0.25 0.125\n")
    found = cnnkit.evaluate(path, folder)
    assert found.metrics["AP50"] == pytest.approx(1.0)
