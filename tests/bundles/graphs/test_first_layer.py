"""Graphs whose division of pixels is folded into the first convolution: it is seen and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.bundles.graphs.first_layer import change_per_level
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.planning import plan
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import said_by
from cnnkit.bundles.graphs.scanning import scan
from tests.bundles.graphs.making import read_here, save

FILTERS = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
LENGTH = float(np.median(np.sqrt((FILTERS**2).sum((1, 2, 3)))))


def classifier(path: Path, factor: float, *, normalized: bool = False) -> Path:
    """Write a classifier that begins with a convolution.

    Args:
        path: The file.
        factor: Of the weights.
        normalized: A batch normalization behind them takes the factor away.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Conv", ["x", "filters"], ["y"], pads=[1, 1, 1, 1])]
    tensors = [numpy_helper.from_array(FILTERS * np.float32(factor), "filters")]
    last = "y"
    if normalized:
        numbers = {"one": 1, "beta": 0.5, "mean": 0.1 * factor, "variance": factor**2}
        for name, number in numbers.items():
            tensors.append(numpy_helper.from_array(np.full(4, number, np.float32), name))
        nodes.append(helper.make_node("BatchNormalization", ["y", *numbers], ["z"], epsilon=0.0))
        last = "z"
    nodes += [
        helper.make_node("Relu", [last], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["means"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "seeing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        tensors,
    )
    save(path, graph, {})
    return path


def notes(path: Path, like: str) -> str:
    file = scan(read_here(path))
    found = plan(file, graph_model(file), said_by(file), GraphWish(like=like), "Say it.")
    return "\n".join(found.notes)


@pytest.mark.parametrize(
    ("factor", "like", "is_told"),
    [
        (1 / 255, "imagenet", True),
        (1 / 127.5, "keras-tf", True),
        (1 / 255, "0-255", False),
        (1.0, "imagenet", False),
        (1.0, "0-1", False),
        (1.0, "caffe", False),
    ],
)
def test_pixels_that_are_divided_twice_are_told(
    tmp_path: Path, factor: float, like: str, is_told: bool
) -> None:
    told = notes(classifier(tmp_path / "x.onnx", factor), like)
    assert ("x.onnx hardly sees the images" in told) == is_told


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("std", [(1.0,), (50.0, 50.0, 50.0)])
def test_how_much_the_first_layer_sees(tmp_path: Path, std, normalized: bool) -> None:
    """The length of the filters is what independent pixels move them by."""
    file = scan(read_here(classifier(tmp_path / "x.onnx", 0.01, normalized=normalized)))
    moved = change_per_level(graph_model(file), "x", "NCHW", (32, 32), 3, std)
    assert moved == pytest.approx(LENGTH * (1 if normalized else 0.01) / std[0], rel=0.1)
