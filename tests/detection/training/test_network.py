from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures import nanodet
from cnnkit.architectures.ssd import (
    ANCHORS,
    STRIDES,
    decode_offsets,
    default_boxes,
    default_sizes,
    ssd_lite0,
)
from cnnkit.architectures.yolo import decode_head
from cnnkit.bundles.card import parse_card
from cnnkit.bundles.detector_card import HeadSpec, detector_spec, head_shapes
from cnnkit.detection.decoders import make_decoder
from cnnkit.detection.training.network import (
    FIRST_SCORE,
    adapted_grid_head,
    adapted_head,
    make_network,
)
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.detection.training.tasks import NanodetTask, SingleTask, SsdTask
from cnnkit.losses.ssd import encode

SIZES = np.array([[20.0, 30.0], [40, 50], [60, 70], [80, 90], [100, 60], [30, 90], [50, 20]])


def test_an_adapted_head_finds_the_same_boxes() -> None:
    random = np.random.default_rng(0)
    old = HeadSpec("a", 32, ((81, 82), (135, 169), (344, 319)))
    new = HeadSpec("a", 32, ((200, 100), (20, 30), (60, 60)))
    kernel = random.normal(0, 0.3, (1, 1, 16, 3 * 9)).astype(np.float32)
    bias = random.normal(0, 0.3, 3 * 9).astype(np.float32)
    labels = ["dog", "cat", "bird", "fish"], ["raccoon", "cat"]
    fresh = adapted_head(kernel, bias, (old, new), labels)
    x = random.normal(0, 1, (1, 4, 4, 16)).astype(np.float32)
    before = decode_head(keras.ops.convert_to_tensor(x @ kernel[0, 0] + bias), old.anchors, 32)
    after = decode_head(keras.ops.convert_to_tensor(x @ fresh[0][0, 0] + fresh[1]), new.anchors, 32)
    by_area = np.argsort([w * h for w, h in new.anchors]).tolist()
    assert by_area == [1, 2, 0]
    for place in range(3):
        ours = by_area[place]
        np.testing.assert_allclose(after[0][..., ours, :], before[0][..., place, :], rtol=1e-3)
        np.testing.assert_allclose(after[1][..., ours], before[1][..., place], atol=1e-5)
        np.testing.assert_allclose(after[2][..., ours, 1], before[2][..., place, 1], atol=1e-5)
        assert not np.asarray(after[2][..., ours, 0]).any()  # half likely


def test_an_adapted_grid_head_places_boxes_as_before_and_doubts_every_new_class() -> None:
    random = np.random.default_rng(3)
    kernel = random.normal(0, 0.3, (1, 1, 16, 4 + 4 * nanodet.BINS)).astype(np.float32)
    bias = random.normal(0, 0.3, kernel.shape[-1]).astype(np.float32)
    labels = ["dog", "cat", "bird", "fish"], ["raccoon", "cat"]
    fresh = adapted_grid_head(kernel, bias, labels)
    x = random.normal(0, 1, (1, 4, 4, 16)).astype(np.float32)
    before = nanodet.decode_head(keras.ops.convert_to_tensor(x @ kernel[0, 0] + bias), 32)
    after = nanodet.decode_head(keras.ops.convert_to_tensor(x @ fresh[0][0, 0] + fresh[1]), 32)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5)
    np.testing.assert_allclose(after[1][..., 1], before[1][..., 1], atol=1e-5)
    scores = np.asarray(keras.ops.sigmoid(after[1][..., 0]))
    np.testing.assert_allclose(scores, FIRST_SCORE, rtol=1e-5)


@pytest.mark.slow
def test_ssd_takes_over_the_backbone_and_leaves_the_rest_to_learn() -> None:
    settings = DetectorSettings("data", Path("out"), architecture="ssd-lite0", size=96)
    network = make_network(settings, ["disc", "square"], SIZES)
    assert network.origin == "efficientnet-lite0"
    kinds = ("extra", "before", "head")
    assert network.new_layers
    assert all(name.startswith(kinds) for name in network.new_layers)
    fixed = network.fixed("ssd-lite0")
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    ours, theirs = network.model(image), fixed(image)
    assert fixed.input_shape == (None, 96, 96, 3)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


def test_default_boxes_and_offsets_are_each_others_inverse() -> None:
    model = ssd_lite0(input_shape=(96, 64, 3), classes=3)
    shapes = {name: tuple(output.shape[1:3]) for name, output in model.output.items()}
    assert shapes == {
        "stride16": (6, 4),
        "stride32": (3, 2),
        "stride64": (2, 1),
        "stride128": (1, 1),
    }
    sizes = default_sizes(320)
    assert [len(one) for one in sizes] == [ANCHORS] * len(STRIDES)
    assert sizes[0][0] == (48, 48)
    assert sizes[-1][0] == (288, 288)
    raw = np.zeros((1, 2, 3, 2 * 5), np.float32)
    defaults = np.asarray(default_boxes(raw, [(10, 20), (30, 40)], 20, 30))
    assert defaults[1, 2, 0].tolist() == [25, 15, 10, 20]
    boxes = np.random.default_rng(1).uniform(5, 20, (2, 3, 2, 4)).astype(np.float32)
    back = np.asarray(decode_offsets(encode(boxes, defaults), defaults))
    centers = np.concatenate(
        [(back[..., :2] + back[..., 2:]) / 2, back[..., 2:] - back[..., :2]], -1
    )
    np.testing.assert_allclose(centers, boxes, rtol=1e-4)


def card(kind: str, **section):
    return parse_card(
        {
            "schema_version": 1,
            "name": "x",
            "task": "detect",
            "classes": 3,
            "architecture": {"builder": "ssd-lite0", "arguments": {}},
            "input": {"height": 96, "width": 64, "fit": "pad"},
            "outputs": {},
            "detector": {"kind": kind, **section},
        }
    )


@pytest.mark.parametrize("kind", ["nanodet", "ssd", "single"])
def test_detect_decodes_what_training_decodes(kind: str) -> None:
    random = np.random.default_rng(2)
    heads = (
        HeadSpec("stride16", 16, ((20, 20), (30, 15))),
        HeadSpec("stride32", 32, ((50, 60),)),
    )
    if kind == "ssd":
        shapes = {"stride16": (6, 4, 16), "stride32": (3, 2, 8)}
        task = SsdTask(heads)
        described = card(kind, heads=[head.to_dict() for head in heads])
    elif kind == "nanodet":
        heads = HeadSpec("stride16", 16), HeadSpec("stride32", 32)
        channels = 3 + 4 * nanodet.BINS
        shapes = {"stride16": (6, 4, channels), "stride32": (3, 2, channels)}
        task = NanodetTask(heads)
        described = card(kind, heads=[head.to_dict() for head in heads])
    else:
        shapes, task, described = {"classes": (3,), "box": (4,)}, SingleTask(), card(kind)
    assert head_shapes(described) == shapes
    outputs = {name: random.normal(0, 1, s).astype(np.float32) for name, s in shapes.items()}
    batch = {name: keras.ops.convert_to_tensor(value[None]) for name, value in outputs.items()}
    boxes, scores = (np.asarray(v)[0] for v in task.boxes(batch, (96, 64)))
    decoder = make_decoder(detector_spec(described), described)
    found = decoder.decode(outputs, np.full(3, 0.3))
    which, classes = np.nonzero(scores >= 0.3)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_allclose(found.scores, scores[which, classes], atol=1e-5)
    np.testing.assert_allclose(found.boxes, boxes[which], atol=1e-2)
