"""One ONNX file of each detector head, from the file to the objects in an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnkit
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.bundles.graphs.class_names import coco_classes
from cnnkit.bundles.head_rules import HEADS
from cnnkit.detection import Detector
from cnnkit.results import Detections
from tests.bundles.graphs.making import read_here, save
from tests.detection.encoding import EVERY, HEIGHT, WIDTH, encoded

BOXES = np.array([[0, 0, 14, 30], [15, 0, 30, 40], [31, 0, 60, 20]], float)
SCORES = np.array([[0.1, 0.8, 0.05], [0.1, 0.05, 0.7], [0.75, 0.1, 0.1]])
TF_NAMES = {"boxes": "detection_boxes", "scores": "detection_scores", "count": "num_detections"}
NAMES = {"tf-detections": TF_NAMES | {"labels": "detection_classes"}}
FAMILIES = ("yolov5", "yolov8", "yolox", "end-to-end", "nanodet-g", "nanodet-plus", "rt-detr")
FAMILIES += ("detr", "boxes-scores", "detections", "tflite-detections", "tf-detections")


def onnx_of_outputs(path: Path, outputs: dict[str, Any], metadata: Any = None) -> Path:
    """Write a network that gives these numbers for every image.

    The mean of the image is added to itself, negated: nothing depends on it but the shapes.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    tensors, infos = [], []
    for name, values in outputs.items():
        whole = np.asarray(values, np.float32)[None]
        tensors.append(numpy_helper.from_array(whole, f"{name} given"))
        nodes.append(helper.make_node("Add", [f"{name} given", "nothing"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, whole.shape))
    shape = [1, 3, HEIGHT, WIDTH]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    save(path, helper.make_graph(nodes, "given", [images], infos, tensors), metadata)
    return path


def opened(path: Path, labels: Path, family: str) -> Detector:
    """Load a file, or a bundle of it where its head does not say how images are prepared."""
    if "mean" in HEADS[family].image:
        return Detector.load(path, labels=labels, precision="float32")
    made = path.with_name("bundle")
    cnnkit.import_model(path, made, task="detect", labels=labels, mean=(0,), std=(1,))
    return Detector.load(made, precision="float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_finds_what_its_outputs_hold(family: str, tmp_path: Path) -> None:
    section, names = EVERY[family], NAMES.get(family, {})
    outputs = encoded(section, BOXES, SCORES)
    outputs = {names.get(n, n): x for n, x in outputs.items() if n in section.values()}
    path = read_here(onnx_of_outputs(tmp_path / "given.onnx", outputs))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    detector = opened(path, tmp_path / "labels.txt", family)
    assert detector_spec(detector.bundle.card).settings["profile"] == family
    found = detector.predict(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.labels == ("b", "a", "c")
    np.testing.assert_allclose(found.scores, [0.8, 0.75, 0.7], atol=1e-3)
    np.testing.assert_allclose(found.xyxy, BOXES[[0, 2, 1]], atol=0.02)


def test_the_metadata_of_ultralytics_say_that_it_is_rt_detr(tmp_path: Path) -> None:
    outputs = encoded(EVERY["rt-detr, finished"], BOXES, SCORES)
    said = {"names": "['a', 'b', 'c']", "task": "detect", "stride": "32", "head": "RTDETRDecoder"}
    path = read_here(onnx_of_outputs(tmp_path / "given.onnx", outputs, said))
    detector = Detector.load(path, precision="float32")
    assert detector.spec.fit == "stretch"
    found = detector.predict(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.xyxy, BOXES[[0, 2, 1]], atol=0.02)


def test_classes_numbered_as_in_coco_have_its_names(tmp_path: Path) -> None:
    logits = np.full((20, 91), -9.0)
    logits[3, 18] = 2
    outputs = {"dets": np.full((20, 4), 0.5), "labels": logits}
    detector = Detector.load(read_here(onnx_of_outputs(tmp_path / "rf.onnx", outputs)))
    card = detector.bundle.card
    assert detector_spec(card).settings["profile"] == "rf-detr"
    assert detector_spec(card).category_ids == tuple(range(91))
    found = detector.predict(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.labels == ("dog",)
    assert detector.bundle.labels[90] == "toothbrush"
    assert detector.bundle.labels[12] == "unused 12"
    whole = coco_classes(80)
    assert whole is not None
    assert whole.numbers[whole.labels.index("dog")] == 18
    assert coco_classes(89) is None
