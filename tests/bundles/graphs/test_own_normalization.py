"""Graphs that normalize pixels themselves: it is seen, and not done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.graphs.families import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.own_normalization import own_normalization
from cnnkit.bundles.graphs.planning import Planned, plan
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import said_by
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.errors import UsageError
from cnnkit.runtime.process import import_openvino, import_openvino_preprocessing
from tests.bundles.graphs.making import BIAS, WEIGHTS, openvino_classifier, read_here, save

Step = tuple[str, Any]
UNIT_MEAN, UNIT_STD = (np.array(one) / 255 for one in (IMAGENET_MEAN, IMAGENET_STD))
IMAGENET = [("Div", 255), ("Sub", UNIT_MEAN), ("Div", UNIT_STD)]
PLAIN = ("BatchNormalization", "Gather")
TURNED = ("Gather", [2, 1, 0])
CAFFE = [("Sub", IMAGENET_MEAN[::-1])]


def normalizing(path: Path, steps: list[Step], **metadata: str) -> Path:
    """Write a classifier whose first operations have a constant each, a number or one a channel."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, before = [], [], "x"
    for number, (kind, values) in enumerate(steps):
        given = [before]
        parts = values if kind == "BatchNormalization" else [] if values is None else [values]
        for part, value in enumerate(parts):
            array = np.array(value, np.int64 if kind == "Gather" else np.float32)
            shaped = array if kind in PLAIN or not array.ndim else array[:, None, None]
            tensors.append(numpy_helper.from_array(shaped, f"c{number}_{part}"))
            given.append(tensors[-1].name)
        before = f"y{number}"
        nodes.append(
            helper.make_node(kind, given, [before], **({"axis": 1} if kind == "Gather" else {}))
        )
    nodes += [
        helper.make_node("ReduceMean", [before], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["scores"]),
    ]
    tensors += [numpy_helper.from_array(WEIGHTS, "weights"), numpy_helper.from_array(BIAS, "bias")]
    graph = helper.make_graph(
        nodes,
        "normalizing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        tensors,
    )
    save(path, graph, metadata)
    return path


def planned(path: Path, wish: GraphWish | None = None) -> Planned:
    file = scan(read_here(path))
    return plan(file, graph_model(file), said_by(file), wish or GraphWish(), "Say it.")


@pytest.mark.parametrize(
    ("steps", "mean", "std"),
    [
        ([("Mul", 1 / 255)], (0,), (255,)),
        ([("Div", 255), ("Sub", (0, 0, 0))], (0,), (255,)),
        ([("Div", 127.5), ("Sub", 1)], (127.5,), (127.5,)),
        ([("Div", 127.5), ("Add", -1)], (127.5,), (127.5,)),
        (IMAGENET, IMAGENET_MEAN, IMAGENET_STD),
        ([("Identity", None), *CAFFE], IMAGENET_MEAN[::-1], (1,)),
        # MXNet's networks begin with such a one: gamma, beta, mean and variance.
        (
            [("BatchNormalization", [[1] * 3, [0] * 3, [120] * 3, [3600] * 3])],
            *((120,), (60,)),
        ),
        ([("Mul", 2), ("Sub", 1)], None, None),  # of numbers from 0 to 1
        ([("Sub", UNIT_MEAN), ("Div", UNIT_STD)], None, None),
        ([("Add", 1), ("Mul", 127.5)], None, None),  # of numbers from -1 to 1
        ([("Mul", 255)], None, None),
        ([("Div", -255)], None, None),
        ([("Relu", None), ("Div", 255)], (0,), (255,)),
        # Keras's ResNet50 turns the channels, and then subtracts ImageNet's means of BGR.
        ([TURNED, *CAFFE], IMAGENET_MEAN, (1,)),
        ([TURNED, *IMAGENET], IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]),
        ([("Sqrt", None), ("Div", 32)], None, None),
        ([("Gather", [0, 0, 1]), ("Div", 255)], None, None),
        ([], None, None),
    ],
    ids=str,
)
def test_a_normalization_of_pixels_is_read_off_the_first_operations(
    tmp_path: Path, steps: list[Step], mean: Any, std: Any
) -> None:
    model = graph_model(scan(read_here(normalizing(tmp_path / "m.onnx", steps))))
    found = own_normalization(model, "x", "NCHW", (8, 8), 3)
    if mean is None:
        assert found is None
        return
    assert found is not None
    assert found.mean == pytest.approx(mean, abs=0.01)
    assert found.std == pytest.approx(std, rel=1e-3)
    assert "-0" not in str(found)


@pytest.mark.parametrize("wish", [GraphWish(), GraphWish(like="imagenet")], ids=["none", "like"])
def test_pixels_enter_as_they_are_and_it_is_told(tmp_path: Path, wish: GraphWish) -> None:
    found = planned(normalizing(tmp_path / "m.onnx", IMAGENET), wish)
    assert (found.spec.mean, found.spec.std, found.spec.colors) == ((0.0,), (1.0,), "RGB")
    [note] = [note for note in found.notes if "itself" in note]
    assert "(mean 123.7, 116.3, 103.5, std 58.4, 57.12, 57.38)" in note
    said = "mean and std of imagenet are not used" if wish.like else "enter as they are as RGB"
    assert said in note


def test_imagenets_means_say_the_order_of_the_colors(tmp_path: Path) -> None:
    path = normalizing(tmp_path / "m.onnx", CAFFE)
    for wish in (GraphWish(), GraphWish(like="imagenet")):
        assert planned(path, wish).spec.colors == "BGR"
    own = GraphWish(preprocessing=Preprocessing(colors="RGB"))
    assert planned(path, own).spec.colors == "RGB"


def test_in_whole_numbers_too(tmp_path: Path) -> None:
    """As OpenVINO puts preprocessing into a file: BGR were taken for RGB."""
    ov = import_openvino()
    preprocess = import_openvino_preprocessing()
    model = ov.Core().read_model(openvino_classifier(tmp_path / "m.xml"))
    steps = preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NHWC"))
    work = steps.input().preprocess().reverse_channels().convert_element_type(ov.Type.f32)
    work.mean(list(IMAGENET_MEAN)).scale(list(IMAGENET_STD))
    ov.save_model(steps.build(), tmp_path / "bgr.xml", compress_to_fp16=False)
    for wish in (GraphWish(), GraphWish(like="imagenet")):
        found = planned(tmp_path / "bgr.xml", wish)
        assert (found.spec.colors, found.spec.mean) == ("BGR", (0.0,))
        assert any("of blue, green, red: pixels enter as BGR" in note for note in found.notes)
    own = GraphWish(preprocessing=Preprocessing(colors="RGB"))
    assert planned(tmp_path / "bgr.xml", own).spec.colors == "RGB"


def test_other_means_of_each_color_need_their_order(tmp_path: Path) -> None:
    path = normalizing(tmp_path / "m.onnx", [("Sub", (80, 90, 100)), ("Div", 60)])
    with pytest.raises(
        UsageError, match=r"itself \(mean 80, 90, 100, std 60.*order of `colors`. Say it"
    ):
        planned(path)
    found = planned(path, GraphWish(preprocessing=Preprocessing(colors="BGR")))
    assert (found.spec.colors, found.spec.mean) == ("BGR", (0.0,))


def test_what_the_user_or_the_file_says_is_used_and_told(tmp_path: Path) -> None:
    own = GraphWish(preprocessing=Preprocessing(mean=(127.5,), std=(127.5,)))
    found = planned(normalizing(tmp_path / "m.onnx", [("Div", 255)]), own)
    assert found.spec.std == (127.5,)
    assert any("normalized before that, too: check `mean`" in note for note in found.notes)
    said = {"names": str(dict(enumerate("abcd"))), "imgsz": "[8, 8]", "task": "classify"}
    found = planned(normalizing(tmp_path / "u.onnx", [("Div", 255)], **said))
    assert found.spec.std == (255.0,)
    assert any("normalized before that, too" in note for note in found.notes)
    for wish in (GraphWish(like="0-255"), GraphWish(preprocessing=Preprocessing(mean=(0.0,)))):
        notes = planned(normalizing(tmp_path / "q.onnx", [("Div", 255)]), wish).notes
        assert not any("itself" in note for note in notes)
