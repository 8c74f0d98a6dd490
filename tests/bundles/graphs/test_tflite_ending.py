"""Detectors of TFLite that end in its own post-processing, beside TFLite's interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnkit
from cnnkit import Detector
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.bundles.graphs.flat import FlatError
from cnnkit.bundles.graphs.flex import flex_numbers
from cnnkit.bundles.graphs.tflite_ending import OPERATION, cut_ending
from cnnkit.errors import BundleError
from cnnkit.results import Detections
from tests.bundles.graphs.making import read_here

ANCHORS, CLASSES, HEIGHT, WIDTH = 20, 3, 64, 96
SCALES = {"y_scale": 10.0, "x_scale": 8.0, "h_scale": 5.0, "w_scale": 4.0}
THRESHOLDS = {"nms_score_threshold": 0.3, "nms_iou_threshold": 0.5}


def options() -> bytes:
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in {"max_detections": 40, "num_classes": CLASSES}.items():
            builder.Int(name, value)
        builder.Int("max_classes_per_detection", 1)
        builder.Int("detections_per_class", 100)
        for name, number in (SCALES | THRESHOLDS).items():
            builder.Float(name, number)
        builder.Bool("use_regular_nms", True)
    return bytes(builder.Finish())


def tflite_detector(path: Path, background: int = 1, is_whole: bool = False) -> Path:
    """Write a network of constants and nothing of the image, with TFLite's post-processing.

    Args:
        path: The file.
        background: Scores before those of the classes.
        is_whole: The anchors are stored as whole numbers of 8 bits.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    random = np.random.default_rng(0)
    anchors = np.full((ANCHORS, 4), 0.2, np.float32)
    anchors[:, :2] = random.uniform(0.1, 0.9, (ANCHORS, 2)).astype(np.float32)
    raw = random.normal(0, 1, (1, ANCHORS, 4)).astype(np.float32)
    scores = (random.random((1, ANCHORS, CLASSES + background)) ** 2).astype(np.float32)
    # Numbers of the lists of constants, and of what is computed.
    shapes = [(1, HEIGHT, WIDTH, 3), (4,), (), (), raw.shape, scores.shape]
    shapes += [raw.shape, scores.shape, anchors.shape, (1, 40, 4), (1, 40), (1, 40), (1,), ()]
    names = ["image", "axes", "mean", "zero", "B", "S", "raw_boxes", "raw_scores", "anchors"]
    names += [OPERATION, f"{OPERATION}:1", f"{OPERATION}:2", f"{OPERATION}:3", "nothing"]
    stored = (np.round(anchors * 255).astype(np.uint8)) if is_whole else anchors
    constants = [np.arange(4, dtype=np.int32), np.zeros(1, np.float32), raw, scores, stored]
    buffers = {1: 1, 3: 2, 4: 3, 5: 4, 8: 5}
    graph = schema.SubGraphT()
    graph.tensors = []
    for number, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = (
            name.encode(),
            list(shape),
            buffers.get(number, 0),
        )
        tensor.type = schema.TensorType.INT32 if name == "axes" else 0
        graph.tensors.append(tensor)
    if is_whole:
        graph.tensors[8].type = schema.TensorType.UINT8
        graph.tensors[8].quantization = schema.QuantizationParametersT()
        graph.tensors[8].quantization.scale = [1 / 255]
        graph.tensors[8].quantization.zeroPoint = [0]
    graph.inputs, graph.outputs = [0], [9, 10, 11, 12]
    inputs = [[0, 1], [2, 3], [4, 13], [5, 13], [6, 7, 8]]
    outputs = [[2], [13], [6], [7], [9, 10, 11, 12]]
    codes = [0, 1, 2, 2, 3]
    graph.operators = []
    for code, given, made in zip(codes, inputs, outputs, strict=True):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, given, made
        graph.operators.append(operator)
    known = schema.BuiltinOptions
    kinds: list[tuple[int, Any]] = [
        (known.ReducerOptions, schema.ReducerOptionsT()),
        (known.MulOptions, schema.MulOptionsT()),
        (known.AddOptions, schema.AddOptionsT()),
        (known.AddOptions, schema.AddOptionsT()),
    ]
    for operator, (kind, given) in zip(graph.operators, kinds, strict=False):
        operator.builtinOptionsType, operator.builtinOptions = kind, given
    graph.operators[-1].customOptions = np.frombuffer(options(), np.uint8)
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    builtin = schema.BuiltinOperator
    for number in (builtin.MEAN, builtin.MUL, builtin.ADD, builtin.CUSTOM):
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, 1
        code.customCode = OPERATION.encode() if number == builtin.CUSTOM else None
        model.operatorCodes.append(code)
    model.buffers = [schema.BufferT()]
    for values in constants:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def of_the_interpreter(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the boxes in pixels, the scores and the classes that TFLite itself finds."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image = np.zeros((1, HEIGHT, WIDTH, 3), np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    details = interpreter.get_output_details()
    boxes, classes, scores, count = (interpreter.get_tensor(d["index"])[0] for d in details)
    found = slice(int(count))
    sides = [HEIGHT, WIDTH, HEIGHT, WIDTH]
    pixels = np.clip(boxes[found] * sides, 0, sides)[:, [1, 0, 3, 2]]
    return pixels, scores[found], classes[found]


@pytest.mark.parametrize("background", [0, 1])
def test_it_finds_what_tflite_finds(background: int, tmp_path: Path) -> None:
    path = read_here(tflite_detector(tmp_path / "ssd.tflite", background))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    labels, made = tmp_path / "labels.txt", tmp_path / "bundle"
    cnnkit.import_model(path, made, task="detect", labels=labels, mean=(0,), std=(1,))
    detector = Detector.load(made, precision="float32", confidence=0.3)
    section = detector_spec(detector.bundle.card)
    assert (section.kind, section.settings["profile"]) == ("boxes-scores", "tflite-detections")
    found = detector.predict(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    boxes, scores, classes = of_the_interpreter(path)
    assert isinstance(found, Detections)
    assert len(scores) > 10
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    np.testing.assert_allclose(found.xyxy, boxes, atol=0.01)
    assert found.labels == tuple("abc"[int(number)] for number in classes)


def test_anchors_may_be_whole_numbers_with_a_scale(tmp_path: Path) -> None:
    cut = [
        cut_ending(memoryview(tflite_detector(tmp_path / "m.tflite", 1, whole).read_bytes()))
        for whole in (False, True)
    ]
    assert cut[0] is not None
    assert cut[1] is not None
    assert cut[0].scales == cut[1].scales == (10.0, 8.0, 5.0, 4.0)
    assert cut[0].classes == CLASSES
    np.testing.assert_allclose(cut[0].anchors, cut[1].anchors, atol=1 / 500)


def test_options_are_read_as_they_were_written() -> None:
    found = flex_numbers(memoryview(options()))
    expected = SCALES | THRESHOLDS | {"max_detections": 40, "num_classes": CLASSES}
    expected |= {"max_classes_per_detection": 1, "detections_per_class": 100}
    assert found == pytest.approx(expected | {"use_regular_nms": 1})


def test_broken_bytes_are_refused_and_lead_nowhere(tmp_path: Path) -> None:
    whole = tflite_detector(tmp_path / "m.tflite").read_bytes()
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        broken = bytearray(whole)
        for place in random.integers(0, len(whole), 20):
            broken[place] = random.integers(0, 256)
        try:
            cut_ending(memoryview(broken))
        except FlatError:
            refused += 1
    assert refused > 50
    with pytest.raises(FlatError, match="options that are no map"):
        flex_numbers(memoryview(b"abcd\x04\x01"))


def test_a_broken_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tflite_detector(tmp_path / "m.tflite")
    content = path.read_bytes()
    path.write_bytes(content.replace(options()[-30:], bytes(30)))
    with pytest.raises(
        BundleError, match=r"m\.tflite must be a TFLite file that OpenVINO can read"
    ):
        cnnkit.import_model(read_here(path), tmp_path / "b", task="detect")
