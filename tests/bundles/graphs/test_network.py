"""What is put before a graph, what is taken from it, and what would grow without bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.graphs import to_openvino_form
from cnnkit.bundles.graphs.graph_card import GraphSpec
from cnnkit.bundles.graphs.network import (
    features_tensor,
    info_of,
    prepared,
    sides,
)
from cnnkit.bundles.graphs.reading import graph_model, write_graph
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.bundles.graphs.scores import scores_kind
from cnnkit.errors import BundleError
from cnnkit.runtime.children import run_module
from cnnkit.runtime.process import available_cpus, import_openvino
from tests.bundles.graphs.making import (
    BIAS,
    CLASSES,
    WEIGHTS,
    expected_scores,
    onnx_classifier,
    onnx_of_nodes,
    openvino_classifier,
    read_here,
    tflite_classifier,
)

SPEC = GraphSpec("onnx", "pixels", "NCHW")


def model_of(path: Path) -> Any:
    return graph_model(scan(read_here(path)))


def run(model: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    compiled = import_openvino().Core().compile_model(model, "CPU")
    found = compiled(pixels.astype(np.float32))
    names = [port.get_any_name() for port in model.outputs]  # compiling may merge them
    return {name: found[number] for number, name in enumerate(names)}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("colors", "mean", "std"),
    [
        ("RGB", (0.0,), (1.0,)),
        ("RGB", (123.0, 116.0, 103.0), (58.0, 57.0, 56.0)),
        ("BGR", (103.0, 116.0, 123.0), (1.0,)),
        ("RGB", (0.0,), (255.0,)),
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_image_comes_as_the_graph_expects_it(
    tmp_path: Path, pixels: np.ndarray, colors: str, mean: Any, std: Any, layout: str
) -> None:
    spec = GraphSpec("onnx", "pixels", layout, colors, mean, std)
    model = model_of(onnx_classifier(tmp_path / "m.onnx", layout=layout))
    made = prepared(model, spec, (8, 8), {"scores": "logits", "features": ""}, CLASSES)
    assert sides(made.inputs[0].get_partial_shape()) == (None, 8, 8, 3)
    found = run(made, pixels)
    seen = pixels if colors == "RGB" else pixels[..., ::-1]
    np.testing.assert_allclose(found["scores"], expected_scores(seen, mean, std), rtol=1e-4)
    means = (seen.mean((1, 2)) - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(found["features"], means, rtol=1e-4)


def test_a_gray_graph_sees_a_gray_image(tmp_path: Path, pixels: np.ndarray) -> None:
    ov = import_openvino()
    ops = ov.opset13
    image = ops.parameter([1, 1, 8, 8], np.float32, name="gray")
    image.output(0).get_tensor().set_names({"gray"})
    flat = ops.reshape(image, np.array([1, 64]), False)
    model = ov.Model([ops.matmul(flat, np.eye(64, dtype=np.float32), False, False)], [image], "g")
    spec = GraphSpec("openvino", "gray", "NCHW", "gray")
    found = run(prepared(model, spec, (8, 8), {"scores": "output0"}, 64), pixels[:1])["scores"]
    expected = pixels[0] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(found.reshape(8, 8), expected, atol=0.1)


def test_a_fixed_batch_of_one_stays_so(tmp_path: Path) -> None:
    model = model_of(onnx_classifier(tmp_path / "m.onnx", batch=1))
    made = prepared(model, SPEC, (8, 8), {"scores": "logits"}, CLASSES)
    assert sides(made.inputs[0].get_partial_shape()) == (1, 8, 8, 3)
    fixed = model_of(onnx_classifier(tmp_path / "n.onnx", batch=4))
    with pytest.raises(BundleError, match=r"take one image a call\. Received: batches of 4"):
        prepared(fixed, SPEC, (8, 8), {"scores": "logits"}, CLASSES)


def test_a_batch_that_a_reshape_inside_fixes_is_one(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["y"], axes=[2], keepdims=0),
    ]
    shape = numpy_helper.from_array(np.array([1, 3, 64]), "shape")
    model = model_of(onnx_of_nodes(tmp_path / "m.onnx", nodes, [shape]))
    spec = GraphSpec("onnx", "x", "NCHW")
    made = prepared(model, spec, (8, 8), {"scores": "y"}, 3)
    assert sides(made.inputs[0].get_partial_shape())[0] == 1
    np.testing.assert_allclose(run(made, np.ones((1, 8, 8, 3)))["scores"], [[1, 1, 1]])


def test_outputs_without_a_batch_get_one(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["y"], to=1),
    ]
    one = numpy_helper.from_array(np.zeros(1, np.float32), "unused")
    model = model_of(onnx_of_nodes(tmp_path / "m.onnx", nodes, [one]))
    made = prepared(model, GraphSpec("onnx", "x", "NCHW"), (8, 8), {"boxes": "y"})
    pixels = np.zeros((1, 8, 8, 3))
    pixels[0, 3, 4, 1] = 9
    assert run(made, pixels)["boxes"].tolist() == [[[0, 1, 3, 4]]]


def test_any_size_is_fixed_to_the_cards(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx", side="any")
    made = prepared(model_of(path), SPEC, (5, 5), {"scores": "logits"}, CLASSES)
    assert sides(made.inputs[0].get_partial_shape()) == (None, 5, 5, 3)
    fixed = model_of(onnx_classifier(tmp_path / "n.onnx"))
    with pytest.raises(BundleError, match="take images of 5x5 with 3 channels"):
        prepared(fixed, SPEC, (5, 5), {"scores": "logits"}, CLASSES)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ("", "logits"),
        ("Softmax", "probabilities"),
        ("Sigmoid", "probabilities"),
        ("HardSigmoid", "probabilities"),
    ],
)
def test_the_last_operation_says_what_scores_are(tmp_path: Path, last: str, kind: str) -> None:
    model = model_of(onnx_classifier(tmp_path / "m.onnx", last=last))
    name = info_of(model).outputs[0].name
    assert scores_kind(model, name, CLASSES) == kind
    assert features_tensor(model, name) is not None


SOFTMAX = ("Softmax", ["means"], ["p"], {"axis": 1})
FLIPPED = ("Neg", ["means"], ["other"], {})
BEHIND_A_SOFTMAX = {
    "without the background": [SOFTMAX, ("Slice", ["p", "one", "three", "one"], ["y"], {})],
    "clipped": [SOFTMAX, ("Clip", ["p", "least"], ["y"], {})],
    "the mean of two": [
        SOFTMAX,
        FLIPPED,
        ("Softmax", ["other"], ["q"], {"axis": 1}),
        ("Add", ["p", "q"], ["sum"], {}),
        ("Mul", ["sum", "half"], ["y"], {}),
    ],
    "by hand": [
        ("Exp", ["means"], ["e"], {}),
        ("ReduceSum", ["e", "one"], ["sum"], {}),
        ("Div", ["e", "sum"], ["y"], {}),
    ],
    "both of one": [
        ("Sigmoid", ["means"], ["p"], {}),
        ("Sub", ["unit", "p"], ["q"], {}),
        ("Concat", ["q", "p"], ["y"], {"axis": 1}),
    ],
}


@pytest.mark.parametrize("what", BEHIND_A_SOFTMAX)
def test_probabilities_stay_so_behind_a_softmax(tmp_path: Path, what: str) -> None:
    """No second softmax is put over them."""
    from onnx import helper, numpy_helper

    constants = {"one": [1], "three": [3], "least": 1e-7, "half": [0.5], "unit": [1.0]}
    tensors = [
        numpy_helper.from_array(
            np.array(value, np.float32 if np.any(np.mod(value, 1)) or name == "unit" else np.int64),
            name,
        )
        for name, value in constants.items()
    ]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        *(helper.make_node(kind, *names, **more) for kind, *names, more in BEHIND_A_SOFTMAX[what]),
    ]
    model = model_of(onnx_of_nodes(tmp_path / "m.onnx", nodes, tensors))
    assert scores_kind(model, "y", 3) == "probabilities"


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([("Mul", "fifth"), ("Add", "half"), ("Clip", "zero", "unit")], None),
        ([("Add", "three"), ("Clip", "zero", "six"), ("Mul", "sixth")], None),
        ([("Add", "three"), ("Clip", "zero", "six"), ("Div", "six")], None),
        ([("Clip", "zero", "six")], "logits"),
        ([("Clip", "zero", "unit"), ("Mul", "six")], "logits"),
        ([("Clip", "zero", "six"), ("Mul", "sixth"), ("Add", "three")], "logits"),
        ([("Mul", "fifth")], "logits"),
    ],
)
def test_a_sigmoid_of_straight_lines_is_asked_about(
    tmp_path: Path, steps: list[tuple[str, ...]], kind: str | None
) -> None:
    """It was taken for logits, and a softmax put over what were probabilities."""
    from onnx import helper, numpy_helper

    values = {"fifth": 0.2, "half": 0.5, "zero": 0, "unit": 1, "three": 3, "six": 6, "sixth": 1 / 6}
    tensors = [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in values.items()]
    nodes = [helper.make_node("ReduceMean", ["x"], ["m0"], axes=[2, 3], keepdims=0)]
    for number, (name, *constants) in enumerate(steps, 1):
        last = "y" if number == len(steps) else f"m{number}"
        nodes.append(helper.make_node(name, [f"m{number - 1}", *constants], [last]))
    model = model_of(onnx_of_nodes(tmp_path / "m.onnx", nodes, tensors))
    assert scores_kind(model, "y", 3) == kind


def test_tflite_and_openvino_run_alike(tmp_path: Path) -> None:
    pixels = np.arange(12).reshape(1, 2, 2, 3)
    spec = GraphSpec("tflite", "pixels", "NHWC")
    path = tflite_classifier(tmp_path / "m.anything")
    made = prepared(model_of(path), spec, (2, 2), {"scores": "scores"}, 3)
    np.testing.assert_allclose(run(made, pixels)["scores"], [[66, 132, 198]])
    spec = GraphSpec("openvino", "pixels", "NHWC")
    made = prepared(
        model_of(openvino_classifier(tmp_path / "m.xml")), spec, (8, 8), {"s": "scores"}
    )
    logits = np.full(3, 0.5) @ WEIGHTS + BIAS
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(run(made, np.full((1, 8, 8, 3), 0.5))["s"][0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("tensor", "spec", "message"),
    [
        ("nothing", SPEC, "have the tensor 'nothing'"),
        ("logits", GraphSpec("onnx", "image", "NCHW"), "have the input 'image'"),
        ("logits", GraphSpec("onnx", "pixels", "NHWC"), "take images of 8x8 with 3 channels"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, tensor: str, spec: GraphSpec, message: str
) -> None:
    model = model_of(onnx_classifier(tmp_path / "m.onnx"))
    with pytest.raises(BundleError, match=message):
        prepared(model, spec, (8, 8), {"scores": tensor}, CLASSES)


# --- what OpenVINO must not be given ---------------------------------------------------------


def refused(path: Path, message: str) -> None:
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    with pytest.raises(BundleError, match=message):
        write_graph(path, "onnx", folder)
    assert not list(folder.iterdir())


def test_an_operation_of_somebody_else_is_named(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node("Evil", ["x"], ["y"], domain="some.body")
    path = onnx_of_nodes(tmp_path / "m.onnx", [node], [], **{"some.body": 1})
    refused(path, r"operations that OpenVINO computes\. Received: some\.body\.Evil")


def test_a_graph_that_grows_without_bound_is_refused(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([10**6, 10**6]), "shape")
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [shape])
    refused(path, "must give at most 268,435,456 numbers an image. Received: 1,000,000,000,000")


@pytest.mark.parametrize("times", [2**62, 20_000])
def test_a_loop_without_end_is_refused(tmp_path: Path, times: int) -> None:
    from onnx import TensorProto, helper, numpy_helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["go"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)
    tensors = [
        numpy_helper.from_array(np.array(times), "times"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    path = onnx_of_nodes(tmp_path / "m.onnx", [loop], tensors)
    refused(path, "must run a number of times that is known, at most 10,000")


def test_a_fresh_process_reads_a_graph(tmp_path: Path) -> None:
    """As users have it; other tests fork the process."""
    path = onnx_classifier(tmp_path / "m.onnx")
    arguments = [str(path), "onnx", str(path.stat().st_size), str(tmp_path)]
    done = run_module("cnnkit.bundles.graphs.to_openvino_form", arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "model.xml").is_file()


def test_a_reader_without_memory_is_refused_in_one_line(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    spare = to_openvino_form.SPARE_BYTES + to_openvino_form.BYTES_A_THREAD * available_cpus()
    of_a_file = ((128 << 20) - spare) // to_openvino_form.COPIES
    arguments = [str(path), "onnx", str(of_a_file), str(tmp_path)]
    assert run_module("cnnkit.bundles.graphs.to_openvino_form", arguments).returncode == 2
    said = (tmp_path / "refusal.txt").read_text()
    assert said.startswith(f"{path} must be an ONNX file that OpenVINO can read.")
    assert "\n" not in said


@pytest.mark.parametrize("kind", ["RandomUniformLike", "RandomNormalLike"])
def test_a_graph_that_draws_its_answers_is_refused(tmp_path: Path, kind: str) -> None:
    """Such as one exported while it was in training: each run had other scores."""
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node(kind, ["means"], ["noise"], seed=3.0),
        helper.make_node("Add", ["means", "noise"], ["y"]),
    ]
    with pytest.raises(BundleError, match="must give the same for the same image"):
        model_of(onnx_of_nodes(tmp_path / "m.onnx", nodes, []))
