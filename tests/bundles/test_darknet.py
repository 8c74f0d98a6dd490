"""Darknet's files: described by a .cfg, numbers that fit exactly, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures import yolo
from cnnkit.bundles import darknet, open_model
from cnnkit.errors import BundleError, UsageError

TINY_FLOATS = 8_858_734  # with 80 classes
ANCHORS = "10,14,  23,27,  37,58,  81,82,  135,169,  344,319"
MASKS = ("3,4,5", "0,1,2")
OFFICIAL = next(iter(darknet.TRAINED_MASKS))


def cfg_text(variant: str = "yolov3_tiny", classes: int = 80, masks=MASKS, side: int = 416) -> str:
    """Write the layers of one of our tables as a .cfg, routes relative where Darknet's are."""
    lines = ["# made by a test", "[net]", f"width={side}", f"height={side}", ""]
    head = 0
    for number, (kind, *rest) in enumerate(darknet.expected_layers(variant, 3, classes)):
        lines.append(f"[{kind}]")
        if kind == "convolutional":
            filters, size, stride, normalized, activation = rest
            lines += [f"filters = {filters}", f"size={size}", f"stride={stride}", "pad=1"]
            lines += ["batch_normalize=1"] * normalized + [f"activation={activation}"]
        elif kind == "maxpool":
            lines += [f"size={rest[0]}", f"stride={rest[1]}"]
        elif kind == "shortcut":
            lines += [f"from={rest[0] - number}", "activation=linear"]
        elif kind == "route":
            first, *others = rest[0]
            lines.append("layers=" + ", ".join(map(str, [first - number, *others])))
        elif kind == "upsample":
            lines.append("stride=2")
        else:
            lines += [f"mask = {masks[head]}", f"anchors = {ANCHORS}", f"classes={classes}"]
            head += 1
    return "\n".join(lines)


def weights_bytes(floats: int = TINY_FLOATS, version: tuple[int, int, int] = (0, 2, 0)) -> bytes:
    seen = b"\0" * (8 if version[0] * 10 + version[1] >= 2 else 4)
    return np.array(version, "<i4").tobytes() + seen + bytes(4 * floats)


def write_cfg(folder: Path, text: str) -> Path:
    path = folder / "a.cfg"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_cfg_is_read(tmp_path: Path) -> None:
    network = darknet.read_cfg(write_cfg(tmp_path, cfg_text(classes=3, side=608)))
    assert (network.architecture, network.height, network.classes) == ("yolov3-tiny", 608, 3)
    assert network.masks == ((3, 4, 5), (0, 1, 2))
    assert network.anchors[5] == (344, 319)
    assert [head.output for head in network.heads()] == ["stride32", "stride16"]
    masks = ("6,7,8", "3,4,5", "0,1,2")
    anchors = ANCHORS + ", 1,2, 3,4, 5,6"
    text = cfg_text("yolov3", masks=masks).replace(ANCHORS, anchors)
    full = darknet.read_cfg(write_cfg(tmp_path, text))
    assert (full.architecture, full.strides) == ("yolov3", (32, 16, 8))


def test_the_routes_are_those_of_the_published_files() -> None:
    """Numbers of layers as they stand in Darknet's yolov3-tiny.cfg and yolov3.cfg."""
    routes = {
        variant: [r[1] for r in darknet.expected_layers(variant, 3, 80) if r[0] == "route"]
        for variant in yolo.VARIANTS
    }
    assert routes["yolov3_tiny"] == [(13,), (19, 8)]
    assert routes["yolov3"] == [(79,), (85, 61), (91,), (97, 36)]


def test_official_weights_bring_their_own_anchors(tmp_path: Path) -> None:
    network = darknet.read_cfg(write_cfg(tmp_path, cfg_text()))
    trained, written = network.heads(OFFICIAL)[1], network.heads("another")[1]
    assert trained.anchors == ((23, 27), (37, 58), (81, 82))
    assert written.anchors == ((10, 14), (23, 27), (37, 58))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("filters = 512", "filters = 511"), "layers of another network"),
        (("batch_normalize=1", "batch_normalize=0"), "layers of another network"),
        (("activation=leaky", "activation=mish"), "layers of another network"),
        (("layers=-1, 8", "layers=-1, 6"), "layers of another network"),
        (("mask = 3,4,5", "mask = 3,4,9"), "a mask that names no anchor"),
        (("mask = 3,4,5", "mask = 3,4"), "heads with different numbers of anchors"),
        (("width=416", "width=400"), "400 pixels, not a multiple of 32"),
        (("width=416", "width=99999968"), "not a multiple of 32 up to 4096"),
        (("width=416", "wide"), "the line 'wide'"),
        (("[net]", "[pets]"), "[pets] first"),
        (("classes=80", "classes=-1"), "heads with different numbers of classes"),
        (("10,14", "10,1e99"), "anchors that are not pairs"),
        (("[yolo]", "[region]"), "no [yolo]"),
    ],
)
def test_another_cfg_is_refused(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = cfg_text()
    assert change[0] in text
    with pytest.raises(BundleError, match=r"must be a Darknet .cfg of yolov3") as refused:
        darknet.read_cfg(write_cfg(tmp_path, text.replace(*change)))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(b"\xff\xfe[net]")
    with pytest.raises(BundleError, match=r"must be a Darknet .cfg"):
        darknet.read_cfg(tmp_path / "a.cfg")
    with pytest.raises(BundleError, match="cannot be read"):
        darknet.read_cfg(tmp_path / "missing.cfg")


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 5)])
def test_numbers_go_to_their_variables(version: tuple[int, int, int]) -> None:
    content = bytearray(weights_bytes(version=version))
    numbers = np.frombuffer(content, "<f4", offset=20 if version[1] == 2 else 16)
    numbers.flags.writeable = True
    numbers[:496] = np.arange(496)  # of the first layer
    read = darknet.parse_weights(bytes(content), "yolov3-tiny")
    assert (read.classes, read.layers) == (80, 13)
    np.testing.assert_array_equal(read.arrays["conv1_bn/beta"], np.arange(16))
    np.testing.assert_array_equal(read.arrays["conv1_bn/gamma"], np.arange(16, 32))
    np.testing.assert_array_equal(read.arrays["conv1_bn/moving_mean"], np.arange(32, 48))
    np.testing.assert_array_equal(read.arrays["conv1_bn/moving_variance"], np.arange(48, 64))
    kernel = np.arange(64, 496).reshape(16, 3, 3, 3)  # out, in, row, column
    assert read.arrays["conv1_conv/kernel"][2, 1, 0, 5] == kernel[5, 0, 2, 1]
    shapes = {path: values.shape for path, values in read.arrays.items()}
    assert shapes == {v.path: tuple(v.shape) for v in yolo.yolov3_tiny().weights}


def test_the_number_of_classes_is_that_of_the_file() -> None:
    """Read with another number the layers behind the first head would be shifted."""
    floats = TINY_FLOATS - 770 * 3 * (80 - 7)
    read = darknet.parse_weights(weights_bytes(floats), "yolov3-tiny")
    assert read.classes == 7
    assert read.arrays["head16/bias"].shape == (36,)
    with pytest.raises(UsageError, match=r"the 80 classes of the .cfg. Received: weights for 7 cl"):
        darknet.fitting_arrays(read, 80, "a.weights")


@pytest.mark.parametrize(("layers", "floats"), [(1, 496), (8, 6_561_648), (10, 7_874_159)])
def test_a_partial_file_ends_after_a_layer(layers: int, floats: int) -> None:
    read = darknet.parse_weights(weights_bytes(floats), "yolov3-tiny")
    assert (read.layers, read.classes) == (layers, None)
    with pytest.raises(UsageError, match=r"must hold all layers. Received: a partial file"):
        darknet.fitting_arrays(read, 80, "a.weights")
    with pytest.raises(BundleError, match="layers, or end after one"):
        darknet.parse_weights(weights_bytes(floats - 1), "yolov3-tiny")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "must be Darknet weights. Received: 0 bytes"),
        (b"<!DOCTYPE html><html>" * 5, "Received: an HTML page"),
        (weights_bytes(TINY_FLOATS + 1), "end after its last layer, at 8,858,734 numbers"),
        (weights_bytes(TINY_FLOATS)[:-2], "hold whole numbers of 4 bytes"),
        (weights_bytes(100), "have the 496 numbers of 1 layers"),
        (b"PK\x03\x04" * 10, "Received: another header"),
        (
            weights_bytes(64) + np.full(432, np.nan, "<f4").tobytes(),
            "be finite in conv1_conv/kernel",
        ),
        (
            weights_bytes(48) + np.full(448, -1, "<f4").tobytes(),
            "no negative variance in conv1_bn",
        ),
    ],
)
def test_other_content_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(BundleError) as refused:
        darknet.parse_weights(content, "yolov3-tiny", name="a.weights")
    assert told in str(refused.value)
    assert str(refused.value).startswith("a.weights must")


def test_a_pair_opens_as_a_detector(tmp_path: Path) -> None:
    cfg = write_cfg(tmp_path, cfg_text(classes=2))
    weights = tmp_path / "a.weights"
    weights.write_bytes(weights_bytes(TINY_FLOATS - 770 * 3 * 78))
    bundle = open_model(str(cfg), str(weights))
    assert bundle.labels == ("class_0", "class_1")
    assert "Give `labels`" in bundle.notes[0]
    assert bundle.card.task == "detect"
    outputs = bundle.build().output
    assert {name: t.shape for name, t in outputs.items()} == {
        "stride32": (None, 13, 13, 21),
        "stride16": (None, 26, 26, 21),
    }
    with pytest.raises(UsageError, match="requires `weights`"):
        open_model(str(cfg))
    with pytest.raises(UsageError, match=r"requires `model='keras:NAME'` or FILE.cfg"):
        open_model("yolov3-tiny", str(weights))
