"""The card of a graph: what is guessed, what is asked for, and who has the last word."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.graphs.families import FAMILIES, Preprocessing
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.planning import Planned, plan
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import said_by
from cnnkit.bundles.graphs.scanning import scan
from cnnkit.errors import BundleError, UsageError
from tests.bundles.graphs.making import (
    onnx_classifier,
    onnx_of_nodes,
    openvino_classifier,
    read_here,
)


def planned(path: Path, wish: GraphWish | None = None) -> Planned:
    file = scan(read_here(path))
    return plan(file, graph_model(file), said_by(file), wish or GraphWish(), "Say it.")


def test_what_is_not_said_is_asked_for(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=r"not say how its pixels are normalized\. Say it\."):
        planned(path)
    with pytest.raises(UsageError, match=r"`like` must be one of .* Did you mean 'imagenet'"):
        planned(path, GraphWish(like="imagnet"))
    with pytest.raises(UsageError, match="`size` must be given for a graph that takes images of"):
        planned(onnx_classifier(tmp_path / "any.onnx", side="any"), GraphWish(like="imagenet"))
    with pytest.raises(UsageError, match=r"`size` must be 8x8 for .*Received: 9x9"):
        planned(path, GraphWish(like="imagenet", size=(9, 9)))
    with pytest.raises(UsageError, match="`task` must be one of classify, detect"):
        GraphWish(task="segment")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_all_of_it(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    found = planned(onnx_classifier(tmp_path / "m.onnx"), GraphWish(like=name))
    spec, image = found.spec, found.card.input
    assert (spec.layout, spec.colors) == ("NCHW", family.colors)
    assert (spec.mean, spec.std) == (family.mean, family.std)
    assert (image.fit, image.crop_fraction) == (family.fit, family.crop_fraction)
    assert (image.interpolation, image.size) == (family.interpolation, (8, 8))
    assert found.card.scores_kind == "logits"
    assert found.labels == ("class_0", "class_1", "class_2", "class_3")
    assert "`labels`" in found.notes[0]


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    names = "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}"
    said = {"names": names, "imgsz": "[8, 8]", "task": "classify", "stride": "1"}
    path = onnx_classifier(tmp_path / "m.onnx", metadata=said, last="Softmax")
    found = planned(path)
    assert (found.spec.std, found.labels, found.notes) == ((255.0,), tuple("abcd"), ())
    assert found.card.scores_kind == "probabilities"
    own = Preprocessing(colors="BGR", mean=(1, 2, 3), fit="stretch")
    found = planned(path, GraphWish(like="imagenet", preprocessing=own, name="mine"))
    assert (found.spec.colors, found.spec.mean) == ("BGR", (1, 2, 3))
    assert found.spec.std == FAMILIES["imagenet"].std[::-1]  # type: ignore[index]
    assert (found.card.input.fit, found.card.name) == ("stretch", "mine")


def test_labels_are_the_users_then_the_files(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("w\nx\ny\nz\n")
    path = onnx_classifier(tmp_path / "m.onnx")
    found = planned(path, GraphWish(like="0-1", labels=str(tmp_path / "l.txt")))
    assert found.labels == tuple("wxyz")
    (tmp_path / "l.txt").write_text("w\nx\n")
    with pytest.raises(BundleError, match="one line for each of the 4 classes"):
        planned(path, GraphWish(like="0-1", labels=str(tmp_path / "l.txt")))


def test_labels_of_another_number_are_told(tmp_path: Path) -> None:
    names = {"names": "{0: 'a', 1: 'b'}", "imgsz": "[8, 8]", "task": "classify", "stride": "1"}
    found = planned(onnx_classifier(tmp_path / "m.onnx", metadata=names))
    assert found.labels == ("class_0", "class_1", "class_2", "class_3")
    assert "names 2 classes, but gives 4 scores" in found.notes[0]


def test_whole_numbers_are_not_normalized_silently(tmp_path: Path) -> None:
    import onnx

    path = onnx_classifier(tmp_path / "m.onnx")
    model = onnx.load(path)
    for kind in (onnx.TensorProto.UINT8, onnx.TensorProto.INT32):
        model.graph.input[0].type.tensor_type.elem_type = kind
        cast = onnx.helper.make_node("Cast", ["pixels"], ["floats"], to=1)
        model.graph.node[-2].input[0] = "floats"
        whole = onnx.ModelProto()
        whole.CopyFrom(model)
        whole.graph.node.insert(0, cast)
        onnx.save(whole, tmp_path / f"{kind}.onnx")
        found = planned(tmp_path / f"{kind}.onnx", GraphWish(like="imagenet"))
        assert (found.spec.mean, found.spec.std) == ((0.0,), (1.0,))
        own = Preprocessing(mean=(1, 2, 3))
        with pytest.raises(UsageError, match=r"`mean` must be left out for .*whole numbers"):
            planned(tmp_path / f"{kind}.onnx", GraphWish(preprocessing=own))


def test_an_input_of_other_than_numbers_is_refused(tmp_path: Path) -> None:
    import onnx

    path = onnx_classifier(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    model.graph.node[0].input[0] = "floats"
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["pixels"], ["floats"], to=1))
    onnx.save(model, path)
    with pytest.raises(BundleError, match=r"must take pixels as one of f16, .* Received: boolean"):
        planned(path, GraphWish(like="0-1"))


def test_a_fit_that_nobody_says_is_told(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    numbers = Preprocessing(mean=(0.0,), std=(255.0,))
    told = "m.onnx does not say how images are fitted: the middle 0.875 of the short side enters"
    found = planned(path, GraphWish(preprocessing=numbers))
    assert [note for note in found.notes if note.startswith(told)]
    for wish in (GraphWish(like="0-1"), GraphWish(preprocessing=replace(numbers, fit="pad"))):
        assert not [note for note in planned(path, wish).notes if "fitted" in note]


def test_a_size_of_any_is_the_users(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx", side="any")
    assert planned(path, GraphWish(like="0-1", size=(5, 7))).card.input.size == (5, 7)


def test_model_info_is_enough(tmp_path: Path) -> None:
    info = {"labels": "a b c d", "mean_values": "0", "scale_values": "255"}
    found = planned(openvino_classifier(tmp_path / "m.xml", info))
    assert (found.spec.layout, found.spec.std) == ("NHWC", (255.0,))
    assert (found.card.scores_kind, found.labels) == ("probabilities", tuple("abcd"))


def test_scores_one_below_the_other_are_no_row(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Transpose", ["means"], ["column"], perm=[1, 0]),
        helper.make_node("MatMul", ["weights", "column"], ["y"]),
    ]
    weights = numpy_helper.from_array(np.ones((4, 3), np.float32), "weights")
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [weights])
    import onnx

    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    with pytest.raises(BundleError, match=r"give one row of class scores .* outputs y \[4, 1\]"):
        planned(path, GraphWish(like="0-1", task="classify"))


def test_as_many_rows_as_there_are_objects_are_no_classifiers(tmp_path: Path) -> None:
    """Finished detections (n, 6), as of Paddle and YOLOv7, were six classes."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Greater", ["mean", "least"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["real"], to=1),
        helper.make_node("Concat", ["real", "real"], ["y"], axis=1),
    ]
    least = numpy_helper.from_array(np.array(100, np.float32), "least")
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [least])
    with pytest.raises(BundleError, match=r"give one row of class scores .* outputs y \[\?, 6\]"):
        planned(path, GraphWish(like="0-1"))


def test_a_kind_of_scores_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="`scores` must be logit or probability for one number"):
        planned(path, GraphWish(like="0-1", scores="probability"))


def test_a_kind_of_scores_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Sigmoid", ["means"], ["gate"]),
        helper.make_node("Exp", ["means"], ["other"]),
        helper.make_node("Mul", ["other", "gate"], ["y"]),
    ]
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [])
    with pytest.raises(UsageError, match=r"`scores` must be given for .*do not say what they are"):
        planned(path, GraphWish(like="0-1"))
    found = planned(path, GraphWish(like="0-1", scores="independent-logits"))
    assert found.card.scores_kind == "independent-logits"


@pytest.mark.parametrize("how", ["exp", "sigmoid"])
def test_a_squashing_by_hand_is_asked_about(tmp_path: Path, how: str) -> None:
    """Taken for logits its scores were made probabilities once more."""
    from onnx import helper, numpy_helper

    nodes = [helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0)]
    if how == "exp":
        nodes.append(helper.make_node("LogSoftmax", ["means"], ["logs"], axis=1))
        nodes.append(helper.make_node("Exp", ["logs"], ["y"]))
    else:
        nodes.append(helper.make_node("Neg", ["means"], ["negative"]))
        nodes.append(helper.make_node("Exp", ["negative"], ["growth"]))
        nodes.append(helper.make_node("Add", ["growth", "one"], ["sum"]))
        nodes.append(helper.make_node("Div", ["one", "sum"], ["y"]))
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [one])
    with pytest.raises(UsageError, match="`scores` must be given for"):
        planned(path, GraphWish(like="0-1"))
    chosen = planned(path, GraphWish(like="0-1", scores="probabilities"))
    assert chosen.card.scores_kind == "probabilities"


def test_a_sigmoid_inside_is_not_applied_again(tmp_path: Path) -> None:
    processor = '{"size": {"height": 8, "width": 8}, "do_normalize": false}'
    (tmp_path / "preprocessor_config.json").write_text(processor)
    (tmp_path / "config.json").write_text('{"problem_type": "multi_label_classification"}')
    for last, kind in (("", "independent-logits"), ("Sigmoid", "probabilities")):
        path = onnx_classifier(tmp_path / f"m{last}.onnx", last=last)
        assert planned(path).card.scores_kind == kind


def test_a_familys_mean_stays_that_of_its_colors(tmp_path: Path) -> None:
    """In another order of the colors it was subtracted from the wrong ones."""
    path = onnx_classifier(tmp_path / "m.onnx")
    own = Preprocessing(colors="BGR")
    found = planned(path, GraphWish(like="imagenet", preprocessing=own)).spec
    assert found.mean == FAMILIES["imagenet"].mean[::-1]  # type: ignore[index]
    assert found.std == FAMILIES["imagenet"].std[::-1]  # type: ignore[index]
    found = planned(path, GraphWish(like="caffe", preprocessing=Preprocessing(colors="RGB"))).spec
    assert found.mean == FAMILIES["caffe"].mean[::-1]  # type: ignore[index]
    mine = Preprocessing(colors="BGR", mean=(1.0, 2.0, 3.0))
    found = planned(path, GraphWish(like="imagenet", preprocessing=mine)).spec
    assert found.mean == (1.0, 2.0, 3.0)


def test_of_several_rows_the_one_with_the_labels_is_meant(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    path = onnx_classifier(tmp_path / "m.onnx")
    model = onnx.load(path)
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, ["batch", 3])
    model.graph.output.insert(0, means)
    onnx.save(model, path)
    (tmp_path / "l.txt").write_text("w\nx\ny\nz\n")
    found = planned(path, GraphWish(like="0-1", labels=str(tmp_path / "l.txt")))
    assert found.card.scores_layer == "logits"
    with pytest.raises(UsageError, match="`labels` must say which of several rows of numbers"):
        planned(path, GraphWish(like="0-1"))  # features are not taken for the scores


def test_of_rows_of_as_many_numbers_the_first_is_told(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    path = onnx_classifier(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Neg", ["logits"], ["other"]))
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", 4])
    model.graph.output.append(other)
    onnx.save(model, path)
    found = planned(path, GraphWish(like="0-1"))
    assert found.card.scores_layer == "logits"
    assert "gives 2 rows of 4 numbers: using logits, not other." in found.notes[-1]


def test_chosen_classes_and_the_best_few_are_no_scores(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    means = helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0)
    best = helper.make_node("ArgMax", ["means"], ["y"], axis=1, keepdims=1)
    chosen = helper.make_node("ArgMax", ["means"], ["y"], axis=1, keepdims=0)
    few = helper.make_node("TopK", ["means", "k"], ["y", "which"], axis=1)
    k = numpy_helper.from_array(np.array([2]), "k")
    for name, node in (("best", best), ("chosen", chosen)):
        path = onnx_of_nodes(tmp_path / f"{name}.onnx", [means, node], [], kind="INT64")
        with pytest.raises(BundleError, match="must give one row of class scores"):
            planned(path, GraphWish(like="0-1"))
    path = onnx_of_nodes(tmp_path / "few.onnx", [means, few], [k])
    with pytest.raises(BundleError, match="must give a score for each class"):
        planned(path, GraphWish(like="0-1"))


@pytest.mark.parametrize(("axis", "shape"), [(0, [-1, 3]), (2, [-1, 3, 1, 1])])
def test_a_softmax_over_something_else_than_the_classes_is_refused(
    tmp_path: Path, axis: int, shape: list[int]
) -> None:
    """Of a lone image it is 1 for every class."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Reshape", ["means", "shape"], ["rows"]),
        helper.make_node("Softmax", ["rows"], ["y"], axis=axis),
    ]
    sides = numpy_helper.from_array(np.array(shape), "shape")
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [sides])
    with pytest.raises(BundleError, match="must normalize each image's scores together"):
        planned(path, GraphWish(like="0-1"))
    nodes[-1] = helper.make_node("Softmax", ["rows"], ["y"], axis=1)
    path = onnx_of_nodes(tmp_path / "m.onnx", nodes, [sides])
    assert planned(path, GraphWish(like="0-1")).card.scores_kind == "probabilities"


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    from onnx import helper

    path = onnx_of_nodes(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [])
    with pytest.raises(BundleError, match="must give one row of class scores"):
        planned(path, GraphWish(task="classify", like="0-1"))


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"preprocessing": Preprocessing(fit="zoom")}, "`fit` must be one of crop, pad, stretch"),
        ({"preprocessing": Preprocessing(interpolation="cubic")}, "`interpolation` must be one of"),
        ({"preprocessing": Preprocessing(crop_fraction=2.0)}, "`crop_fraction` must be from 0.05"),
        (
            {"preprocessing": Preprocessing(crop_fraction=float("nan"))},
            "`crop_fraction` must be from 0.05 to 1. Received: nan",
        ),
        ({"size": (0, 224)}, "`size` must be a height and a width from 1 to 4096. Received: 0x224"),
    ],
)
def test_a_broken_rule_names_the_argument(wish: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        GraphWish(**wish)
