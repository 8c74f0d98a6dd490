"""Heads are recognized by their outputs; what fits none, or two, is refused with what was seen."""

from __future__ import annotations

import pytest

from cnnkit.bundles.detector_card import KINDS
from cnnkit.bundles.head_clues import grid_count
from cnnkit.bundles.head_profiles import (
    HeadProfile,
    OutputInfo,
    class_names,
    recognize,
)
from cnnkit.bundles.head_rules import HEADS, RULES
from cnnkit.errors import BundleError, UsageError
from cnnkit.images import InputSpec

SIZE = (640, 640)


def named(count: int) -> dict[str, str]:
    return {"names": str({i: f"class {i}" for i in range(count)})}


def seen(
    *shapes: tuple[int | None, ...],
    like: str | None = None,
    always_one: bool | None = False,
    **metadata: str,
) -> HeadProfile:
    outputs = [OutputInfo(f"output{i}", shape, "float32") for i, shape in enumerate(shapes)]
    return recognize(outputs, metadata, SIZE, like, lambda output, column: always_one)


@pytest.mark.parametrize(
    ("shape", "names", "profile", "classes"),
    [
        ((1, 84, 8400), 0, "yolov8", 80),
        ((1, 84, None), 0, "yolov8", 80),
        ((None, 5, 8400), 0, "yolov8", 1),
        ((1, 7, 34000), 3, "yolov8", 3),
        ((1, 8400, 84), 80, "yolov8", 80),
        ((1, 8400, 84), 0, "yolov8", 80),
        ((1, 300, 6), 0, "end-to-end", 0),
        ((1, 300, 6), 80, "end-to-end", 80),
        ((1, None, 6), 80, "end-to-end", 80),
        ((1, 25200, 85), 0, "yolov5", 80),
        ((1, 25500, 6), 0, "yolov5", 1),
        ((1, None, 85), 0, "yolov5", 80),
        ((1, 8400, 85), 0, "yolox", 80),
        ((1, 8400, 6), 0, "yolox", 1),
        ((1, 8400, 50), 45, "yolox", 45),
        ((1, 8400, 112), 0, "nanodet", 80),
        ((1, 8400, 50), 18, "nanodet", 18),
        ((1, 8400, 124), 0, "nanodet-g", 80),
        ((1, 8400, 50), 6, "nanodet-g", 6),
        ((1, 8500, 112), 0, "nanodet-plus", 80),
        ((1, 8500, 34), 2, "nanodet-plus", 2),
        ((1, 300, 84), 0, "rt-detr", 80),
        ((1, 300, 10), 6, "rt-detr", 6),
    ],
)
def test_one_output(shape, names: int, profile: str, classes: int) -> None:
    found = seen(shape, **(named(names) if names else {}))
    section = found.section()
    assert (section["profile"], found.classes, section["output"]) == (profile, classes, "output0")
    assert section["kind"] in KINDS
    assert found.description


@pytest.mark.parametrize(
    ("outputs", "names", "profile", "classes", "roles"),
    [
        ("pred_boxes:1,300,4 logits:1,300,80", 0, "rt-detr", 80, "boxes logits"),
        ("logits:1,300,92 pred_boxes:1,300,4 state:1,300,256", 0, "rt-detr", 92, "logits boxes"),
        ("logits:1,100,92 pred_boxes:1,100,4", 0, "detr", 91, "logits boxes"),
        ("a:1,200,7 b:1,200,4", 6, "detr", 6, "logits boxes"),
        ("a:1,200,7 b:1,200,4", 7, "rt-detr", 7, "logits boxes"),
        ("boxes:1,300,4 scores:1,300,4", 0, "rt-detr", 4, "boxes logits"),
        ("dets:1,300,4 labels:1,300,91", 0, "rf-detr", 91, "boxes logits"),
        ("dets:1,300,4 labels:1,300,4", 0, "rf-detr", 3, "boxes logits"),
        ("dets:1,300,4 labels:1,300,8", 7, "rf-detr", 7, "boxes logits"),
        ("dets:1,300,4 labels:1,300,8", 8, "rf-detr", 8, "boxes logits"),
        ("boxes:1,8400,4 scores:1,8400,80", 0, "boxes-scores", 80, "boxes scores"),
        (
            "labels:1,300:int64 boxes:1,300,4 scores:1,300",
            0,
            "detections",
            0,
            "labels boxes scores",
        ),
        ("x:1,300 y:1,300:int32 z:1,300,4", 9, "detections", 9, "scores labels boxes"),
        (
            "TFLite_Detection_PostProcess:1,10,4 TFLite_Detection_PostProcess:1:1,10 "
            "TFLite_Detection_PostProcess:2:1,10 TFLite_Detection_PostProcess:3:1",
            *(0, "tflite-detections", 0, "boxes labels scores count"),
        ),
        (
            "StatefulPartitionedCall:1:1,25 StatefulPartitionedCall:3:1,25,4 "
            "StatefulPartitionedCall:0:1 StatefulPartitionedCall:2:1,25",
            *(0, "tflite-detections", 0, "scores boxes count labels"),
        ),
        ("a:1,10,4 b:1,10 c:1,10 d:1", 0, "tflite-detections", 0, "boxes labels scores count"),
        (
            "category:1,25 count:1 location:1,25,4 score:1,25",
            *(5, "tflite-detections", 5, "labels count boxes scores"),
        ),
        (
            "detection_anchor_indices:1,100 detection_boxes:1,100,4 detection_classes:1,100 "
            "detection_scores:1,100 num_detections:1 raw_detection_scores:1,1917,91",
            *(0, "tf-detections", 90, "- boxes labels scores count -"),
        ),
        (
            "detection_boxes:0:1,100,4 detection_classes:0:1,100 detection_scores:0:1,100 "
            "num_detections:0:1",
            *(0, "tf-detections", 0, "boxes labels scores count"),
        ),
    ],
)
def test_several_outputs(outputs: str, names: int, profile: str, classes: int, roles: str) -> None:
    infos = [info_of(text) for text in outputs.split()]
    found = recognize(infos, named(names) if names else {}, SIZE)
    assert (found.settings["profile"], found.classes) == (profile, classes)
    for info, role in zip(infos, roles.split(), strict=False):
        assert role == "-" or found.settings[role] == info.name


def info_of(text: str) -> OutputInfo:
    """Return the output that ``name:1,300,4`` or ``name:1,300:int64`` describes."""
    name, dtype = text, "float32"
    if "int" in text.rpartition(":")[2]:
        name, _, dtype = text.rpartition(":")
    name, _, shape = name.rpartition(":")
    return OutputInfo(name, tuple(int(side) for side in shape.split(",")), dtype)


def test_heads_before_decoding_may_stand_beside_the_output() -> None:
    raw = [(1, 3, side, side, 85) for side in (80, 40, 20)]
    assert seen((1, 25200, 85), *raw).settings["output"] == "output0"


@pytest.mark.parametrize(
    ("shapes", "options", "fitting"),
    [
        ([(1, 8400, 50)], {}, "yolox or nanodet or nanodet-g"),
        ([(1, 8500, 50)], {}, "yolox or nanodet-plus"),
        ([(1, None, 6)], {}, "yolov5 or end-to-end"),
        ([(1, 300, 6)], named(2), "end-to-end or rt-detr"),
        ([(1, 200, 4), (1, 200, 7)], {}, "rt-detr or detr"),
    ],
)
def test_what_fits_two_is_chosen(shapes, options: dict[str, str], fitting: str) -> None:
    told = f"must fit one detector head. Received: output0 .* Choose it with `like`: {fitting}."
    with pytest.raises(BundleError, match=told):
        seen(*shapes, **options)
    for like in fitting.split(" or "):
        assert seen(*shapes, **options, like=like).settings["profile"] == like


def test_yolov6_is_told_from_yolox_by_its_objectness() -> None:
    """Of the same shape, but from red, green, blue from 0 to 1."""
    for classes in (80, 45, 1):
        shape = (1, 8400, 5 + classes)
        found = seen(shape, always_one=True, **named(classes))
        assert (found.kind, found.settings["profile"]) == ("yolox", "yolov6")
        assert (found.settings["unit"], found.classes) == ("pixels", classes)
        assert (found.input["color"], found.input["std"]) == ("rgb", [255.0] * 3)
        own = seen(shape, always_one=False, **named(classes))
        assert (own.settings["profile"], own.input["color"]) == ("yolox", "bgr")
        with pytest.raises(BundleError, match="Choose it with `like`: yolox or yolov6"):
            seen(shape, always_one=None, **named(classes))
        for like in ("yolox", "yolov6"):
            chosen = seen(shape, always_one=None, like=like, **named(classes))
            assert chosen.settings["profile"] == like


def test_cocos_numbers_are_of_networks_with_imagenets_mean() -> None:
    assert seen((1, 300, 4), (1, 300, 91)).input["mean"] == [123.675, 116.28, 103.53]
    assert seen((1, 300, 4), (1, 300, 80)).input["mean"] == [0.0, 0.0, 0.0]


def test_rt_detr_of_ultralytics_says_that_it_is_one() -> None:
    """Older exports give queries, newer ones finished detections with a box's center and sides."""
    finished = seen((1, 300, 6), head="RTDETRDecoder", **named(2))
    assert (finished.kind, finished.classes) == ("end-to-end", 2)
    assert finished.settings["order"] == "cxcywh"
    assert finished.settings["unit"] == "normalized"
    description = "Ultralytics RT-DETR-l model trained on coco.yaml"
    older = seen((1, 300, 6), description=description, **named(2))
    assert (older.kind, older.settings["scores"]) == ("detr", "probabilities")
    assert seen((1, 300, 6), like="rt-detr").settings["order"] == "cxcywh"
    assert "order" not in seen((1, 300, 6), head="Detect", **named(3)).settings


def test_counts_that_are_also_those_of_cells_by_chance() -> None:
    """3 anchors of strides 16 and 32 give 300 boxes for an input of 128 x 160."""
    rows = [OutputInfo("output0", (1, 300, 6), "float32")]
    for classes, profile in ((1, "yolov5"), (80, "end-to-end")):
        found = recognize(rows, named(classes), (128, 160))
        assert found.settings["profile"] == profile
    rows = [OutputInfo("output0", (1, 300, 84), "float32")]
    for classes, profile in ((79, "yolov5"), (80, "rt-detr")):
        found = recognize(rows, named(classes), (128, 160))
        assert found.settings["profile"] == profile


def test_boxes_of_anchors_are_no_queries() -> None:
    """Three anchors of strides 16 and 32 at 416 x 416; and a count that nothing explains."""
    pair = [OutputInfo("boxes", (1, 2535, 4), "f"), OutputInfo("scores", (1, 2535, 80), "f")]
    for classes in ({}, named(80)):
        found = recognize(pair, classes, (416, 416))
        assert found.settings["profile"] == "boxes-scores"
    with pytest.raises(BundleError, match="must be those of a known detector head"):
        seen((1, 2536, 4), (1, 2536, 80), **named(80))


def test_the_number_of_classes_decides_without_names() -> None:
    assert seen((1, 8400, 50), classes="45").kind == "yolox"
    assert seen((1, 8400, 50), classes="6").settings["bins"] == 11


def test_a_choice_takes_other_counts() -> None:
    assert seen((1, 84, 1234), like="yolov8").classes == 80
    assert seen((1, 1234, 84), like="yolov5").classes == 79
    assert seen((1, 50, 4), (1, 50, 8), like="detr").classes == 7
    with pytest.raises(BundleError, match="must be those of yolox"):
        seen((1, 1234, 84), like="yolox")  # no grid to add the offsets to


def test_every_profile_makes_a_section_that_its_decoder_takes() -> None:
    """Every rule stands in the table of heads, and the hints are what images are prepared by."""
    assert set(RULES) == set(HEADS)
    for name, head in HEADS.items():
        assert head.kind in KINDS, name
        known = {"fit", "pad_value", "interpolation", "color", "mean", "std"}
        assert set(head.image) <= known, name
        image = {k: v for k, v in head.image.items() if k in ("fit", "pad_value", "interpolation")}
        InputSpec(64, 64, **image)


@pytest.mark.parametrize(
    ("shapes", "options", "told"),
    [
        ([], {}, "Received: none for an input of 640 x 640. The known heads are yolov"),
        ([(1, 84, 8401)], {}, r"detector head. Received: output0 \(1 x 84 x 8401\) for"),
        ([(1, 84, 8400)], named(79), "640 x 640 and 79 classes"),
        ([(1, 84, 8400), (1, 32, 160)], {}, r"output1 \(1 x 32 x 160\)"),
        ([(1, None)] * 9, {}, r"output7 \(1 x \?\) and 1 more for"),
        ([(1, 116, 8400)], {"task": "segment"}, "must detect objects. Received: one for segment"),
        ([(1, 84, 8400)], {"like": "end-to-end"}, "the outputs must be those of end-to-end. Rec"),
    ],
)
def test_what_fits_none_is_refused(shapes, options, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        seen(*shapes, **options)


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'yolov8'"):
        seen((1, 84, 8400), like="yolo8")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'person', 1: \"cat's\"}", ("person", "cat's")),
        (r"{0: 'a\'b, 3: x', 1: 'c\\d'}", ("a'b, 3: x", r"c\d")),
        ("['a', 'b',]", ("a", "b")),
        ('{"0": "a", "1": "b"}', ("a", "b")),
        ("{1: 'a'}", None),
        ("{0: 'a' 1: 'b'}", None),
        ("{0: __import__('os')}", None),
        ("[", None),
        ("{}", None),
        ("", None),
    ],
)
def test_names_in_metadata(text: str, names: tuple[str, ...] | None) -> None:
    assert class_names({"names": text}) == names


def test_cells_cover_the_input() -> None:
    assert grid_count((640, 640), (8, 16, 32)) == 8400
    assert grid_count((416, 416), (8, 16, 32, 64)) == 52**2 + 26**2 + 13**2 + 7**2
    assert grid_count((320, 640), (32,)) == 200
