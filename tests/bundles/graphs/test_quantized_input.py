"""Images of quantized numbers, against TFLite's own interpreter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnkit
from cnnkit.bundles.graphs.families import FAMILIES, Preprocessing
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.network import prepared
from cnnkit.bundles.graphs.planning import Planned, plan
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import said_by
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.errors import BundleError, UsageError
from cnnkit.runtime.openvino_predictor import adds_integers, in_float
from cnnkit.runtime.precision import Processor
from cnnkit.runtime.process import import_openvino
from tests.bundles.graphs.making import (
    WEIGHTS,
    read_here,
    save,
    tflite_classifier,
    tflite_metadata,
)

UNIT, INCEPTION = 1 / 255, 1 / 127.5
CLIP = FAMILIES["clip"]
# What a network of CLIP's preprocessing is calibrated to: -1.79 to 2.15.
OF_CLIP = (0.015452, 116)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Return images with both ends of the pixels in every channel."""
    images = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)
    images[0, 0], images[0, 1] = 0, 255
    return images


def planned(path: Path, wish: GraphWish | None = None) -> Planned:
    file = scan(read_here(path))
    return plan(file, graph_model(file), said_by(file), wish or GraphWish(), "Say it.")


def scores(path: Path, found: Planned, images: np.ndarray, rows: int = 3) -> np.ndarray:
    outputs = {"scores": found.card.scores_layer or ""}
    model = prepared(graph_model(scan(path)), found.spec, (2, 2), outputs, rows)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    in_float(model)
    compiled = import_openvino().Core().compile_model(model, "CPU", settings)
    return np.concatenate([compiled(one[None].astype(np.float32))[0] for one in images])


def interpreted(path: Path, values: Iterable[np.ndarray]) -> np.ndarray:
    """Return what TFLite gives for real values (2, 2, 3), quantized as its guide says."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = image["quantization"]
    ends = np.iinfo(image["dtype"])
    found = []
    for one in values:
        steps = np.asarray(one, np.float64) / (scale or 1)
        whole = np.clip(np.trunc(steps + np.copysign(0.5, steps)) + zero, ends.min, ends.max)
        interpreter.set_tensor(image["index"], whole[None].astype(image["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.array(found)


@pytest.mark.parametrize(
    ("quantized", "like"),
    [
        (("UINT8", 0.0078125, 128), "keras-tf"),
        (("INT8", 0.0078125, 0), "keras-tf"),
        (("UINT8", UNIT, 0), "0-1"),
        (("INT8", UNIT, -128), "0-1"),
        (("UINT8", 1.0, 0), "0-255"),
        (("UINT8", *OF_CLIP), "clip"),
        (("INT8", OF_CLIP[0], OF_CLIP[1] - 128), "clip"),
        (("INT16", 1 / 32767, 0), "timm-inception"),
        (("UINT8", 1.2, 104), "caffe"),
    ],
)
def test_what_the_float_network_would_get_is_quantized(
    tmp_path: Path, images: np.ndarray, quantized: tuple[str, float, int], like: str
) -> None:
    path = tflite_classifier(tmp_path / "m.tflite", quantized=quantized)
    found = planned(path, GraphWish(like=like))
    assert (found.spec.mean, found.spec.std) == (FAMILIES[like].mean, FAMILIES[like].std)
    seen = images[..., ::-1] if like == "caffe" else images
    values = (seen - np.array(found.spec.mean)) / np.array(found.spec.std)
    # In float32 a value between two numbers may become the other one.
    step = 2.001 * quantized[1] * 3
    expected = interpreted(path, values)
    np.testing.assert_allclose(scores(path, found, images), expected, atol=step)
    assert not [note for note in found.notes if "pixels become" in note]


def onnx_quantized(
    path: Path, kind: str, scale: float, zero: int | None, turned: bool, raw: bool
) -> Path:
    """Write a network (n, 2, 2, 3) whose image enters a DequantizeLinear, as tf2onnx writes it."""
    from onnx import TensorProto, helper, numpy_helper

    number = getattr(TensorProto, kind)
    scale_values = np.array(scale, np.float32)
    tensors = [numpy_helper.from_array(WEIGHTS, "weights")]
    if raw:
        tensors.append(numpy_helper.from_array(scale_values, "scale"))
        tensors.append(numpy_helper.from_array(np.array(zero or 0, kind.lower()), "zero"))
    else:
        tensors.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]))
        tensors.append(helper.make_tensor("zero", number, [], [zero or 0]))
    image, axes, nodes = "image", [1, 2], []
    if turned:
        nodes = [helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2])]
        image, axes = "planes", [2, 3]
    parameters = ["scale"] if zero is None else ["scale", "zero"]
    nodes += [
        helper.make_node("DequantizeLinear", [image, *parameters], ["real"]),
        helper.make_node("ReduceMean", ["real"], ["means"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("image", number, ["n", 2, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        tensors,
    )
    save(path, graph, {"input.scale": "a stranger's", "input.zero": "x"})
    return path


def test_weights_among_the_inputs_are_no_image(tmp_path: Path) -> None:
    """So older exporters list them: the scale of the first weights is not that of the pixels."""
    from onnx import TensorProto, helper, numpy_helper

    tensors = [
        numpy_helper.from_array(np.ones((3, 4), np.int8), "weights"),
        numpy_helper.from_array(np.array(0.02, np.float32), "scale"),
        numpy_helper.from_array(np.array(7, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "scale", "zero"], ["real"]),
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["means", "real"], ["y"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 2, 2, 3])
    listed = [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "older", [*listed, image], [out], tensors)
    save(tmp_path / "m.onnx", graph, {})
    found = planned(tmp_path / "m.onnx", GraphWish())
    assert (found.spec.scale, found.spec.mean, found.spec.std) == (None, (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("quantized", "turned", "raw"),
    [
        (("UINT8", *OF_CLIP), False, True),
        (("UINT8", *OF_CLIP), True, False),
        (("INT8", OF_CLIP[0], OF_CLIP[1] - 128), True, True),
        (("INT8", OF_CLIP[0], OF_CLIP[1] - 128), False, False),
        (("INT8", OF_CLIP[0], None), False, True),
    ],
)
def test_a_dequantize_linear_of_onnx_says_it_too(
    tmp_path: Path,
    images: np.ndarray,
    quantized: tuple[str, float, int | None],
    turned: bool,
    raw: bool,
) -> None:
    import onnxruntime

    kind, scale, zero = quantized
    path = onnx_quantized(tmp_path / "m.onnx", kind, scale, zero, turned, raw)
    with pytest.raises(UsageError, match="not say how its pixels are normalized"):
        planned(path)
    found = planned(path, GraphWish(like="clip"))
    assert (found.spec.scale, found.spec.zero) == (pytest.approx(scale), zero or 0)
    values = (images - np.array(CLIP.mean)) / np.array(CLIP.std)
    ends = np.iinfo(kind.lower())
    steps = values / scale
    whole = np.clip(np.trunc(steps + np.copysign(0.5, steps)) + (zero or 0), ends.min, ends.max)
    session = onnxruntime.InferenceSession(str(path))
    expected = session.run(["y"], {"image": whole.astype(kind.lower())})[0]
    np.testing.assert_allclose(scores(path, found, images, 4), expected, atol=4 * scale)


def test_pixels_that_a_graph_normalizes_itself_are_no_quantized_ones(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=1),
        helper.make_node("Mul", ["real", "scale"], ["small"]),
        helper.make_node("ReduceMean", ["small"], ["y"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 2, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.float32(OF_CLIP[0]), "scale")],
    )
    save(tmp_path / "m.onnx", graph, {"input.scale": "1", "input.zero": "0"})
    assert planned(tmp_path / "m.onnx").spec.scale is None


@pytest.mark.parametrize(
    "quantized",
    [
        *(("UINT8", UNIT, 0), ("INT8", UNIT, -128), ("UINT8", INCEPTION, 128)),
        *(("UINT8", 0.0078125, 127), ("INT8", INCEPTION, 0), ("UINT8", 1.0, 0)),
        *(("INT8", 1.0, -128), ("UINT8", 0.0, 0)),
    ],
)
def test_where_the_numbers_are_plainly_pixels_they_enter_as_they_are(
    tmp_path: Path, images: np.ndarray, quantized: tuple[str, float, int]
) -> None:
    kind, scale, zero = quantized
    path = tflite_classifier(tmp_path / "m.tflite", quantized=quantized)
    whole = images.astype(float) - (128 if kind == "INT8" else 0)
    expected = interpreted(path, (whole - zero) * (scale or 1))
    np.testing.assert_allclose(scores(path, planned(path), images), expected, rtol=1e-5, atol=1e-4)


def test_where_they_are_not_it_is_asked_for(tmp_path: Path) -> None:
    for quantized in (("UINT8", *OF_CLIP), ("INT16", 1 / 32767, 0), ("INT8", 0.05, 0)):
        path = tflite_classifier(tmp_path / "m.tflite", quantized=quantized)
        with pytest.raises(UsageError, match=r"not say how its pixels are normalized\. Say it\."):
            planned(path)


@pytest.mark.parametrize(
    ("said", "mean", "std"),
    [
        ([(127.5,), (127.5,)], (127.5,), (127.5,)),
        ([(0.0,), (1.0,)], (127.0,), (127.5,)),  # none: pixels, by what the input holds
    ],
)
def test_metadata_are_used_where_they_agree(tmp_path: Path, said: Any, mean: Any, std: Any) -> None:
    metadata = tflite_metadata(*said, "l.txt")
    quantized = ("UINT8", INCEPTION, 127)
    path = tflite_classifier(tmp_path / "m.tflite", metadata=metadata, quantized=quantized)
    found = planned(path)
    assert found.spec.mean == mean and found.spec.std == pytest.approx(std)


def test_the_user_is_told_of_pixels_that_do_not_fit(tmp_path: Path) -> None:
    path = tflite_classifier(tmp_path / "m.tflite", quantized=("UINT8", INCEPTION, 127))
    for wish in (GraphWish(like="0-255"), GraphWish(preprocessing=Preprocessing(std=(255.0,)))):
        assert "but its input holds -0.996 to 1" in planned(path, wish).notes[-1]
    assert planned(path, GraphWish(like="0-255")).spec.std == (1.0,)
    plain = tflite_classifier(tmp_path / "p.tflite", quantized=("UINT8", 0.0, 0))
    note = "takes pixels as they are: the mean and std of imagenet are not used."
    assert note in planned(plain, GraphWish(like="imagenet")).notes[-1]
    assert len(planned(plain, GraphWish(like="0-255")).notes) == 1  # of its labels


@pytest.mark.parametrize("quantized", [("UINT8", -1.0, 0), ("UINT8", 1e30, 0), ("UINT8", 0.1, 999)])
def test_a_quantization_that_can_be_none_is_refused(
    tmp_path: Path, quantized: tuple[str, float, int]
) -> None:
    path = tflite_classifier(tmp_path / "m.tflite", quantized=quantized)
    with pytest.raises(BundleError, match="must quantize its input with a scale above 0"):
        planned(path, GraphWish(like="0-1"))


def test_a_bundle_keeps_it(tmp_path: Path, images: np.ndarray) -> None:
    path = read_here(tflite_classifier(tmp_path / "m.tflite", quantized=("UINT8", *OF_CLIP)))
    made = cnnkit.import_model(path, tmp_path / "b", like="clip", scores="independent-logits")
    image = made.card["graph"]["input"]
    assert image["quantization"] == {"scale": pytest.approx(OF_CLIP[0]), "zero": OF_CLIP[1]}
    assert image["mean"] == list(CLIP.mean or ())
    read_here(tmp_path / "b" / "model.tflite")
    classifier = cnnkit.Classifier.load(tmp_path / "b", top_k=3, precision="float32")
    values = (images - np.array(CLIP.mean)) / np.array(CLIP.std)
    expected = 1 / (1 + np.exp(-interpreted(path, values)))
    for one, wanted in zip(classifier.predict(list(images)), expected, strict=True):
        assert isinstance(one, cnnkit.Classification)
        found = {prediction.label: prediction.score for prediction in one.predictions}
        assert [found[f"class_{k}"] for k in range(3)] == pytest.approx(list(wanted), abs=0.01)


def test_a_bundle_of_before_is_refused_if_its_pixels_would_be_wrong(tmp_path: Path) -> None:
    """It said a mean of 0 and a deviation of 1, whatever the input was."""
    for quantized, right in ((("UINT8", *OF_CLIP), False), (("UINT8", UNIT, 0), True)):
        folder = tmp_path / f"b{right}"
        path = read_here(tflite_classifier(tmp_path / "m.tflite", quantized=quantized))
        cnnkit.import_model(path, folder, like="clip", scores="independent-logits")
        card = json.loads((folder / "card.json").read_text())
        del card["graph"]["input"]["quantization"]
        card["graph"]["input"] |= {"mean": [0.0], "std": [1.0]}
        (folder / "card.json").write_text(json.dumps(card))
        read_here(folder / "model.tflite")
        if right:
            cnnkit.Classifier.load(folder)
            continue
        with pytest.raises(BundleError, match="Import its file again, with this version"):
            cnnkit.Classifier.load(folder)


def openvino_quantized(path: Path, largest: int) -> Path:
    """Write a network whose products of 8-bit integers fit in 16 bits up to kernels of 64."""
    ov = import_openvino()
    ops = ov.opset13
    image = ops.parameter([1, 8, 8, 3], np.float32, name="pixels")
    image.output(0).get_tensor().set_names({"pixels"})
    planes = ops.transpose(image, np.array([0, 3, 1, 2]))

    def rounded(values: Any, highest: float) -> Any:
        ends = [np.array(end, np.float32) for end in (0, highest, 0, highest)]
        return ops.fake_quantize(values, *ends, 256)

    kernel = ops.convert(ops.constant(np.full((4, 3, 3, 3), largest, np.int8)), "f32")
    kernel = ops.multiply(kernel, np.array(1 / largest, np.float32))
    found = ops.convolution(rounded(planes, 255), kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    means = ops.reduce_mean(rounded(ops.relu(found), 27 * 255), np.array([2, 3]), False)
    scores = ops.multiply(means, np.array([1e-3, 2e-3, 3e-3, 4e-3], np.float32))
    scores.output(0).get_tensor().set_names({"scores"})
    ov.save_model(ov.Model([scores], [image], "whole"), path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("largest", [127, 64])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_kernels_of_8_bits_do_not_saturate(tmp_path: Path, precision: str, largest: int) -> None:
    path = read_here(openvino_quantized(tmp_path / "m.xml", largest))
    cnnkit.import_model(path, tmp_path / "b", like="0-255", scores="logits")
    read_here(tmp_path / "b" / "model.xml")
    classifier = cnnkit.Classifier.load(tmp_path / "b", top_k=4, precision=precision)
    # Several at once: in as many streams as there are threads.
    result = classifier.predict([np.full((8, 8, 3), 250, np.uint8)] * 4)[-1]
    assert isinstance(result, cnnkit.Classification)
    scores = 27 * 250 * np.array([1e-3, 2e-3, 3e-3, 4e-3])
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    found = {one.label: one.score for one in result.predictions}
    assert [found[f"class_{k}"] for k in range(4)] == pytest.approx(list(expected), abs=2e-3)


def quantized_layer(kernel: Any, kind: str = "stored") -> Any:
    """Return a graph of one product of 8-bit activations and a kernel, written in some way."""
    ov = import_openvino()
    ops = ov.opset13
    image = ops.parameter([1, 4], np.float32, name="pixels")

    def rounded(values: Any, low: float = 0) -> Any:
        return ops.fake_quantize(
            values, *(np.array(end, np.float32) for end in (low, 255) * 2), 256
        )

    if kind == "two activations":
        weights = ops.reshape(rounded(image), np.array([4, 1]), False)
    elif kind == "rounded here":
        weights = rounded(ops.constant(np.ones((4, 1), np.float32)), -255)
    else:
        zero = np.full((1, 1), "zero point" in kind, np.int8)
        zero = zero if kind == "zero point of a column" else zero[0]
        weights = ops.constant(kernel)
        if kind == "made here":
            weights = ops.convert(ops.convert(weights, "f32"), "i8")
        weights = ops.convert(weights, "f32")
        weights = ops.subtract(weights, ops.convert(ops.constant(zero), "f32"))
        weights = ops.multiply(weights, np.array([[0.5]], np.float32))
    values = image if kind == "plain" else rounded(image)
    return ov.Model([ops.matmul(values, weights, False, False)], [image], "layer")


@pytest.mark.parametrize(
    ("largest", "type_name", "kind", "safe"),
    [
        (64, "i1", "stored", True),
        (-64, "i1", "stored", True),
        (65, "i1", "stored", False),
        (-65, "i1", "stored", False),
        (64, "u1", "stored", False),
        (1, "i1", "zero point", False),
        (1, "i1", "zero point of a column", False),
        (127, "f4", "made here", False),  # it would become a constant in 127 behind our back
        (1, "i1", "two activations", False),
        (1, "i1", "rounded here", False),
    ],
)
def test_integers_are_left_to_processors_that_add_their_products(
    largest: int, type_name: str, kind: str, safe: bool
) -> None:
    able, unable = (Processor("x", False, int8) for int8 in (True, False))
    layer = quantized_layer(np.full((4, 1), largest, type_name), kind)
    assert adds_integers(able, "auto", layer)
    assert not adds_integers(able, "float32", layer)
    assert adds_integers(unable, "auto", layer) is safe
    plain = quantized_layer(np.full((4, 1), largest, type_name), "plain")
    assert not adds_integers(able, "auto", plain)  # it has no quantized activations


def in_a_condition(layer: Any) -> Any:
    """Return a graph that computes a layer on bright images only."""
    ov = import_openvino()
    ops = ov.opset13
    image = ops.parameter([1, 4], np.float32, name="pixels")
    mean = ops.reduce_mean(image, np.array([0, 1]), False)
    choice = ops.if_op(ops.greater(mean, np.float32(3)).output(0))
    given = ops.parameter([1, 4], np.float32)
    dark = ops.result(ops.reduce_mean(given, np.array([1]), True))
    choice.set_then_body(layer)
    choice.set_else_body(ov.Model([dark], [given], "dark"))
    choice.set_input(image.output(0), layer.get_parameters()[0], given)
    return ov.Model([choice.set_output(layer.get_results()[0], dark)], [image], "choice")


@pytest.mark.parametrize(("largest", "safe"), [(64, True), (127, False)])
def test_integers_in_a_condition_count_too(largest: int, safe: bool) -> None:
    able, unable = (Processor("x", False, int8) for int8 in (True, False))
    graph = in_a_condition(quantized_layer(np.full((4, 1), largest, "i1")))
    assert adds_integers(able, "auto", graph)
    assert adds_integers(unable, "auto", graph) is safe
    if not safe:
        in_float(graph)
    compiled = import_openvino().Core().compile_model(graph, "CPU")
    found = compiled(np.full((1, 4), 255, np.float32))[0]
    assert float(found.item()) == pytest.approx(4 * 255 * largest / 2, rel=1e-2)
