"""What files say of themselves, and what of it is believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.graphs.families import Preprocessing
from cnnkit.bundles.graphs.said import Said, said_by
from cnnkit.bundles.graphs.scanning import GraphFile, scan
from cnnkit.errors import BundleError
from tests.bundles.graphs.making import (
    onnx_classifier,
    openvino_classifier,
    tflite_classifier,
    tflite_metadata,
)


def said_of(tmp_path: Path, **metadata: str) -> Said:
    return said_by(scan(onnx_classifier(tmp_path / "m.onnx", metadata=metadata)))


def test_ultralytics_metadata(tmp_path: Path) -> None:
    said = said_of(
        tmp_path,
        names="{0: 'person', 1: 'traffic light'}",
        imgsz="[640, 480]",
        stride="32",
        task="detect",
    )
    assert (said.source, said.task, said.size) == ("ultralytics", "detect", (640, 480))
    assert said.labels == ("person", "traffic light")
    assert (said.preprocessing.fit, said.preprocessing.std) == (None, (255.0,))


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('true')",
        "{0: 'a', 2: 'c'}",
        "{'x': 'a'}",
        "[" * 500,
        "-" * 100_000 + "1",
        "{0: 'a'",
        "7",
    ],
)
def test_names_that_are_none_are_left_out(tmp_path: Path, names: str) -> None:
    assert said_of(tmp_path, names=names, stride="32").labels is None


def test_names_are_cleaned(tmp_path: Path) -> None:
    said = said_of(tmp_path, names="{0: 'a\\x1b[31m', 1: '', 2: '\\u202ec'}", stride="32")
    assert said.labels == ("a[31m", "class_1", "c")


def test_tflite_metadata(tmp_path: Path) -> None:
    said = tflite_metadata([127.5], [127.5], "l.txt")
    found = said_by(scan(tflite_classifier(tmp_path / "m.tflite", metadata=said)))
    assert (found.source, found.preprocessing.mean, found.preprocessing.std) == (
        "tflite",
        (127.5,),
        (127.5,),
    )


def test_model_info_of_openvino(tmp_path: Path) -> None:
    info = {"labels": "cat traffic_light", "mean_values": "1 2 3", "scale_values": "4"}
    found = said_by(scan(openvino_classifier(tmp_path / "m.xml", info)))
    assert found.labels == ("cat", "traffic light")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((1, 2, 3), (4,))


def test_model_info_says_the_order_of_the_colors_and_the_fit(tmp_path: Path) -> None:
    """Its API reads blue, green, red, and its crop takes the whole short side."""
    for reverse, colors in (("True", "RGB"), ("False", "BGR"), ("YES", "RGB"), ("NO", "BGR")):
        info = {"reverse_input_channels": reverse, "resize_type": "crop", "multilabel": "True"}
        found = said_by(scan(openvino_classifier(tmp_path / "m.xml", info)))
        assert found.preprocessing.colors == colors
        assert (found.preprocessing.fit, found.preprocessing.crop_fraction) == ("crop", 1.0)
        assert found.scores_kind == "independent-logits"
    info = {"resize_type": "fit_to_window_letterbox", "pad_value": "114"}
    found = said_by(scan(openvino_classifier(tmp_path / "m.xml", info)))
    assert (found.preprocessing.fit, found.preprocessing.pad_value) == ("pad", 114)
    assert (found.preprocessing.colors, found.scores_kind) == (None, None)


@pytest.mark.parametrize(
    ("colors", "pixels", "expected"),
    [
        ("Bgr8", "NominalRange_0_255", ("BGR", (0.0,), (1.0,))),
        ("Rgb8", "Normalized_0_1", ("RGB", (0.0,), (255.0,))),
        ("Rgb8", "Normalized_1_1", ("RGB", (127.5,), (127.5,))),
        ("Bgr8", "", ("BGR", None, None)),
    ],
)
def test_image_metadata_of_onnx(tmp_path: Path, colors: str, pixels: str, expected: Any) -> None:
    """As Custom Vision writes them: its networks take blue, green, red."""
    content = {"Image.BitmapPixelFormat": colors, "Image.NominalPixelRange": pixels}
    found = said_of(tmp_path, **content).preprocessing
    assert (found.colors, found.mean, found.std) == expected


def test_a_description_of_ours(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    image = {"shape": [None, 8, 9, 3], "fit": "crop", "crop_fraction": 0.9}
    content = {"task": "classify", "made_by": "cnnkit 1", "inputs": [image], "labels": ["a", "b"]}
    (tmp_path / "m.onnx.json").write_text(json.dumps(content))
    said = said_by(scan(path))
    assert (said.source, said.labels, said.size) == ("cnnkit", ("a", "b"), (8, 9))
    assert (said.preprocessing.fit, said.preprocessing.crop_fraction) == ("crop", 0.9)
    assert "does not say which file it describes" in said.notes[0]


def test_a_description_is_that_of_its_file(tmp_path: Path) -> None:
    """A model put in the place of an exported one would be opened with the labels of that."""
    path = onnx_classifier(tmp_path / "m.onnx")
    content = {"task": "classify", "made_by": "cnnkit 1", "inputs": [{}], "labels": ["a", "b"]}
    content |= {"sha256": [hashlib.sha256(path.read_bytes()).hexdigest()]}
    (tmp_path / "m.onnx.json").write_text(json.dumps(content))
    assert said_by(scan(path)).notes == ()
    onnx_classifier(path, last="Softmax")
    with pytest.raises(BundleError, match=r"m\.onnx\.json must describe m\.onnx as it is"):
        said_by(scan(path))
    for wrong in ("x", [], [1], {}):
        (tmp_path / "m.onnx.json").write_text(json.dumps(content | {"sha256": wrong}))
        with pytest.raises(BundleError, match="Received: the description of another file"):
            said_by(scan(path))


def test_settings_of_timm_beside_the_file(tmp_path: Path) -> None:
    own = {
        "input_size": [3, 160, 160],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "crop_pct": 0.95,
        "interpolation": "bicubic",
    }
    config = {"pretrained_cfg": own, "label_names": ["a", "b"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert (said.size, said.labels) == ((160, 160), ("a", "b"))
    assert said.preprocessing.mean == (127.5, 127.5, 127.5)
    assert said.preprocessing.std == (63.75, 63.75, 63.75)
    assert (said.preprocessing.crop_fraction, said.preprocessing.interpolation) == (0.95, "bicubic")
    assert said.preprocessing.fit == "crop"
    config["pretrained_cfg"] = own | {"crop_mode": "squash"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert said_by(scan(tmp_path / "m.onnx")).preprocessing.fit == "stretch"


@pytest.mark.parametrize(
    ("mode", "fraction", "fit", "is_told"),
    [
        ("squash", 0.9, "stretch", True),
        ("squash", 1.0, "stretch", False),
        ("border", 0.9, "pad", True),
        ("center", 0.9, "crop", False),
    ],
)
def test_a_crop_of_timm_that_is_left_out_is_told(
    tmp_path: Path, mode: str, fraction: float, fit: str, is_told: bool
) -> None:
    config = {"pretrained_cfg": {"crop_mode": mode, "crop_pct": fraction}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert said.preprocessing.fit == fit
    assert [note.startswith("config.json keeps the middle 0.9") for note in said.notes] == (
        [True] * is_told
    )


@pytest.mark.parametrize(("number", "name"), [(0, "plain-bilinear"), (3, "bicubic"), (4, "area")])
def test_filters_of_pillow_are_known_by_their_numbers(
    tmp_path: Path, number: int, name: str
) -> None:
    processor = {"size": {"height": 8, "width": 8}, "resample": number}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    assert said_by(scan(onnx_classifier(tmp_path / "m.onnx"))).preprocessing.interpolation == name


def test_settings_of_transformers_beside_the_file(tmp_path: Path) -> None:
    processor = {
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "size": {"shortest_edge": 256},
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.2, 0.2],
        "resample": 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b"}}))
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert (said.size, said.labels) == ((224, 224), ("a", "b"))
    assert said.preprocessing.crop_fraction == 0.875
    assert said.preprocessing.mean == (127.5, 102.0, 76.5)
    assert (said.preprocessing.fit, said.preprocessing.interpolation) == ("crop", "bicubic")


@pytest.mark.parametrize(
    ("processor", "seen"),
    [
        ({"do_rescale": False, "do_normalize": False}, lambda p: p),
        (
            {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
            lambda p: p / 127.5 - 1,
        ),
        (
            {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [2, 2, 2]},
            lambda p: (p / 127.5 - 1) / 2,
        ),
        # Transformers' own EfficientNet
        (
            {
                "rescale_factor": 1 / 255,
                "image_mean": [0.4] * 3,
                "image_std": [0.5] * 3,
                "include_top": True,
            },
            lambda p: (p / 255 - 0.4) / 0.5 / 0.5,
        ),
    ],
)
def test_pixels_are_scaled_as_transformers_scales_them(
    tmp_path: Path, processor: dict[str, Any], seen: Callable[[np.ndarray], np.ndarray]
) -> None:
    content = json.dumps(processor | {"size": {"height": 8, "width": 8}})
    (tmp_path / "preprocessor_config.json").write_text(content)
    found = said_by(scan(onnx_classifier(tmp_path / "m.onnx"))).preprocessing
    pixels = np.array([0.0, 100.0, 255.0])
    mean, std = (np.array(numbers)[:1] for numbers in (found.mean, found.std))
    np.testing.assert_allclose((pixels - mean) / std, seen(pixels), atol=1e-6)


def test_what_is_embedded_in_a_model_of_openvino_is_not_done_again(tmp_path: Path) -> None:
    """The channels were turned inside, and once more in front of it."""
    info = {"mean_values": "1 2 3", "scale_values": "2", "resize_type": "standard"}
    info |= {"reverse_input_channels": "YES", "embedded_processing": "YES"}
    info |= {"orig_height": "24", "orig_width": "32", "labels": "a b c d"}
    said = said_by(scan(openvino_classifier(tmp_path / "m.xml", info)))
    assert said.preprocessing == Preprocessing("BGR", (0.0,), (1.0,), "stretch", 1.0)
    assert (said.size, said.labels) == ((24, 32), tuple("abcd"))
    del info["embedded_processing"], info["orig_height"]
    said = said_by(scan(openvino_classifier(tmp_path / "n.xml", info)))
    how = Preprocessing("RGB", (1.0, 2.0, 3.0), (2.0,), "stretch", 1.0)
    assert (said.preprocessing, said.size) == (how, None)
    info = {f"model_info {key}": value for key, value in info.items()}
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx", metadata=info)))
    assert (said.preprocessing, said.labels) == (how, tuple("abcd"))


@pytest.mark.parametrize(
    ("processor", "is_said"),
    [
        ({"do_normalize": True}, False),
        ({}, False),
        ({"image_mean": [0.5] * 3}, False),
        ({"image_mean": [0.5] * 4, "image_std": [0.5] * 4}, False),
        ({"do_flip_channel_order": True}, True),  # MobileViT's, which does not
        ({"do_normalize": False}, True),
    ],
)
def test_a_normalization_that_is_not_said_is_not_made_up(
    tmp_path: Path, processor: dict[str, Any], is_said: bool
) -> None:
    content = json.dumps(processor | {"size": {"height": 8, "width": 8}})
    (tmp_path / "preprocessor_config.json").write_text(content)
    found = said_by(scan(onnx_classifier(tmp_path / "m.onnx"))).preprocessing
    said = ((0.0,), (255.0,)) if is_said else (None, None)
    assert (found.mean, found.std) == said


def test_transformers_flips_the_colors_of_some(tmp_path: Path) -> None:
    """MobileViT takes blue first."""
    processor = {"do_flip_channel_order": True, "size": {"shortest_edge": 8}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert said.preprocessing.colors == "BGR"


@pytest.mark.parametrize(
    ("processor", "fit", "fraction"),
    [
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, "crop", 0.875),  # ConvNeXt
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, "stretch", 1.0),
        (  # PoolFormer
            {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
            | {"crop_pct": 0.9, "do_center_crop": True},
            *("crop", 0.9),
        ),
        (
            {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
            | {"do_center_crop": True, "image_processor_type": "LevitImageProcessor"},
            *("crop", 0.875),
        ),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
            | {"do_center_crop": True},
            *("crop", 0.875),
        ),
    ],
)
def test_transformers_crops_as_each_of_its_processors_does(
    tmp_path: Path, processor: dict[str, Any], fit: str, fraction: float
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    found = said_by(scan(onnx_classifier(tmp_path / "m.onnx"))).preprocessing
    assert (found.fit, found.crop_fraction) == (fit, pytest.approx(fraction))


def test_labels_that_are_independent(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 8, "width": 8}}')
    (tmp_path / "config.json").write_text('{"problem_type": "multi_label_classification"}')
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert said.scores_kind == "independent-logits"


@pytest.mark.parametrize("content", ["", "[]", "[" * 5000, '{"pretrained_cfg": {"mean": "x"}}'])
def test_settings_that_are_none_are_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    said = said_by(scan(onnx_classifier(tmp_path / "m.onnx")))
    assert said.preprocessing.mean is None and said.labels is None


def test_settings_of_ultralytics_beside_a_model_of_openvino(tmp_path: Path) -> None:
    path = openvino_classifier(tmp_path / "m.xml")
    lines = ["task: classify", "stride: 1", "imgsz: [64, 64]", "names:", "  0: a", "  1: b"]
    (tmp_path / "metadata.yaml").write_text("\n".join(lines))
    said = said_by(scan(path))
    assert (said.task, said.labels, said.size) == ("classify", ("a", "b"), (64, 64))


def test_nothing_said(tmp_path: Path) -> None:
    assert said_of(tmp_path).source == ""
    assert said_by(GraphFile(tmp_path / "none", "onnx", "", ())).labels is None
