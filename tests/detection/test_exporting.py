"""Detectors exported: what comes out is what the bundle's own decoder finds."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit import boxes
from cnnkit.architectures import builder
from cnnkit.architectures.nanodet import BINS
from cnnkit.architectures.nanodet import STRIDES as NANODET_STRIDES
from cnnkit.architectures.ssd import STRIDES, default_sizes
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.card import parse_card
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.bundles.writing import NewBundle, write_model, writing_bundle
from cnnkit.detection import Detector, exporting
from cnnkit.errors import BundleError, UsageError
from cnnkit.exporting import FORMATS, CheckFailedError, Request, export_model, images_in
from cnnkit.images import InputSpec, prepare
from cnnkit.runtime import RuntimeOptions, building_defaults
from tests.architectures.builder_checks import spread_weights
from tests.detection.small import ANCHORS, LABELS, SIDE, card_content, nanodet_card_content
from tests.exporting.running import EVERY_FORM, left_in, needs_onnx, outputs

ROWS = SIDE // 32
SSD_ANCHORS = [[20.0, 30.0], [40.5, 12.0]]


def card_of(kind: str) -> dict:
    """Return the card of a small detector, 64 pixels high and 96 wide."""
    content = card_content(kind=kind, confidence=0.3)
    if kind == "nanodet":
        content = nanodet_card_content()
    content["input"] |= {"width": 96}
    if kind == "ssd":
        content["detector"]["heads"][0]["anchors"] = SSD_ANCHORS
    if kind == "single":
        del content["detector"]["heads"]
        content["outputs"] = {name: {"layer": name} for name in ("classes", "box")}
    return content


def network_of(kind: str, spread: float):
    """Return a network of one layer a head; with a spread of 0 every raw output is 0."""
    layers = keras.layers
    drawn = keras.initializers.RandomNormal(stddev=spread, seed=4)
    image = keras.Input((64, 96, 3), name="image")
    x = layers.Rescaling(1 / 128, -1.0)(image)
    if kind == "single":
        x = layers.Flatten()(layers.AveragePooling2D(16)(x))
        heads = {"classes": len(LABELS), "box": 4}
        found = {
            name: layers.Dense(units, kernel_initializer=drawn, name=name)(x)
            for name, units in heads.items()
        }
        return keras.Model(image, found)
    channels = (5 + len(LABELS)) * (2 if kind == "ssd" else 1)
    if kind == "nanodet":
        channels = len(LABELS) + 4 * BINS
    head = layers.Conv2D(channels, 32, 32, kernel_initializer=drawn, name="stride32")
    return keras.Model(image, {"stride32": head(x)})


def small_bundle(kind: str, spread: float = 0.05) -> Bundle:
    network = network_of(kind, spread)
    return Bundle(parse_card(card_of(kind)), LABELS, "identity", lambda *name: network, {})


def exported(bundle: Bundle, form: str, folder: Path, **asked):
    target = folder / f"detector{FORMATS[form].suffix}"
    networks = exporting.detector_networks(bundle, Request(form, **asked))
    return export_model(bundle, networks, form, target)


@pytest.mark.parametrize("form", ["keras", "openvino"])
@pytest.mark.parametrize("kind", ["yolo", "ssd", "single", "nanodet"])
def test_every_kind_gives_what_its_decoder_gives(kind, form, tmp_path):
    bundle = small_bundle(kind)
    done = exported(bundle, form, tmp_path)
    assert done.images == 10 and done.difference < 1e-5
    images = np.random.default_rng(2).integers(0, 256, (3, 64, 96, 3), np.uint8)
    given = outputs(form, done.path, image=images)
    count = {"yolo": 2 * 3, "ssd": 2 * 3 * 2, "single": 1, "nanodet": 2 * 3}[kind]
    assert given["boxes"].shape == (3, count, 4) and given["scores"].shape == (3, count, 3)
    options = RuntimeOptions(runtime="tensorflow", device="cpu", precision="float32")
    detector = Detector.from_bundle(bundle, options=options)
    every = np.zeros(3)
    raw = detector.predictor.predict(images)
    for number in range(3):
        own = {name: values[number] for name, values in raw.items()}
        found = detector._decoder.decode(own, every)
        np.testing.assert_allclose(given["scores"][number].ravel(), found.scores, atol=1e-6)
        each = np.repeat(given["boxes"][number], 3, axis=0)
        np.testing.assert_allclose(each, found.boxes, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "first_box", "score"),
    [
        ("yolo", (8, 0, 24, 32), 0.25),  # the middle of the first cell, 16 x 32
        ("ssd", (6, 1, 26, 31), 0.25),  # one of three classes and the background
        ("single", (24, 16, 72, 48), 1 / 3),  # half of the image, in its middle
        ("nanodet", (-144, -144, 176, 176), 0.5),  # five cells to each side
    ],
)
def test_a_network_of_zeros_gives_boxes_that_one_can_work_out(kind, first_box, score, tmp_path):
    done = exported(small_bundle(kind, spread=0.0), "keras", tmp_path)
    given = outputs("keras", done.path, image=np.zeros((1, 64, 96, 3), np.uint8))
    np.testing.assert_allclose(given["boxes"][0, 0], first_box, atol=1e-4)
    np.testing.assert_allclose(given["scores"], score, atol=1e-6)


def test_the_description_says_all_that_one_needs(tmp_path):
    done = exported(small_bundle("yolo"), "keras", tmp_path, batch=2)
    content = json.loads(done.description.read_text("utf-8"))
    assert left_in(tmp_path) == ["detector.keras", "detector.keras.json"]
    (image,) = content["inputs"]
    assert image["shape"] == [2, 64, 96, 3]
    assert image["fit"] == "pad" and image["bars"]["value"] == 127
    shapes = {one["name"]: one["shape"] for one in content["outputs"]}
    assert shapes == {"boxes": [2, 6, 4], "scores": [2, 6, 3]}
    assert content["labels"] == list(LABELS)
    assert content["suppression"]["confidence"] == 0.3 and content["suppression"]["iou"] == 0.45
    assert set(content["checked"]["outputs"]) == {"boxes", "scores"}


def test_a_wrong_decoder_in_the_file_is_found_out(tmp_path, monkeypatch):
    def shifted(kit, raw, section, card):
        found = exporting.yolo_ending(kit, raw, section, card)
        return found | {"boxes": found["boxes"] + 0.1}

    monkeypatch.setitem(exporting.ENDINGS, "yolo", shifted)
    with pytest.raises(CheckFailedError, match=r"boxes must differ by at most 0\.0001"):
        exported(small_bundle("yolo"), "keras", tmp_path)
    assert left_in(tmp_path) == []


def test_a_head_of_another_project_has_no_export() -> None:
    content = card_content(kind="yolov8", output="stride32")
    bundle = Bundle(parse_card(content), LABELS, "identity", lambda: None, {})
    with pytest.raises(BundleError, match=r"detector.kind must be one of yolo, ssd.*for an export"):
        exporting.detector_networks(bundle, Request("onnx"))


def test_another_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="takes 64x96 only"):
        exported(small_bundle("yolo"), "keras", tmp_path, size=(128, 128))


@pytest.fixture(scope="module", params=["nanodet-g", "yolov3-tiny", "ssd-lite0", "localizer-lite0"])
def own(request, tmp_path_factory):
    """Return a bundle as ``train-detector`` leaves it, its weights drawn."""
    side, name = 96, request.param
    arguments = {"input_shape": [side, side, 3], "classes": 2}
    kind = name.partition("-")[0]
    detector, names = {"kind": "single"}, ["classes", "box"]
    if kind == "ssd":
        heads = zip(STRIDES, default_sizes(side), strict=True)
        detector = {"kind": "ssd", "heads": [head_entry(s, sizes) for s, sizes in heads]}
    elif kind == "yolov3":
        detector = {"kind": "yolo", "heads": [head_entry(s, ANCHORS[:3]) for s in (32, 16)]}
    elif kind == "nanodet":
        detector = {"kind": "nanodet", "heads": [head_entry(s, ()) for s in NANODET_STRIDES]}
    if "heads" in detector:
        names = [head["output"] for head in detector["heads"]]
    with building_defaults():
        model = spread_weights(builder(name)(**arguments))
    written = NewBundle(
        name="own",
        task="detect",
        description="A detector for tests.",
        model=model,
        labels=("cat", "dog"),
        input=InputSpec(side, side, "pad", 1.0, "bilinear"),
        builder=name,
        arguments=arguments,
        outputs={one: {"layer": one} for one in names},
        detector=detector,
    )
    folder = tmp_path_factory.mktemp("bundles") / "own"
    with writing_bundle(folder) as fresh:
        write_model(fresh, written)
    return open_model(str(folder))


def head_entry(stride: int, sizes) -> dict:
    return HeadSpec(f"stride{stride}", stride, tuple(sizes)).to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("form", EVERY_FORM)
def test_every_architecture_that_can_be_trained(own, form, tmp_path, examples):
    images = list(images_in(str(examples)))
    done = exported(own, form, tmp_path, images=images)
    assert done.images == len(images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nanodet-g", "yolov3-tiny"])
@pytest.mark.parametrize("form", EVERY_FORM)
def test_the_embedded_detector_finds_the_same_without_cnnkit(form, name, tmp_path, examples):
    """With a threshold and suppression its boxes are those of ``cnnkit detect``."""
    bundle = open_model(name)
    section = bundle.card.content["detector"]
    done = exported(bundle, form, tmp_path)
    options = RuntimeOptions(runtime="tensorflow", device="cpu", precision="float32")
    detector = Detector.from_bundle(bundle, options=options)
    path = str(examples / "coffee.jpg")
    image = prepare(path, bundle.card.input)
    given = outputs(form, done.path, image=image[None])
    which, classes = np.nonzero(given["scores"][0] >= section["confidence"])
    found, scores = given["boxes"][0][which], given["scores"][0][which, classes]
    kept = boxes.nms(found, scores, section["iou"], classes)
    (own,) = detector.predict([image])
    assert len(own) >= 1
    inside = boxes.clip(found[kept].astype(float), *image.shape[:2])
    np.testing.assert_allclose(inside, own.xyxy, atol=0.05)
    np.testing.assert_allclose(scores[kept], own.scores, atol=1e-4)


@pytest.mark.slow
@needs_onnx
def test_the_program_of_the_page_finds_the_cup(tmp_path, examples, monkeypatch, capsys):
    page = Path(__file__).resolve().parents[2] / "docs/export.md"
    (program,) = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.M)
    exported(open_model("yolov3-tiny"), "onnx", tmp_path)
    shutil.copytree(examples, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(page), "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    chosen = {"runtime": "tensorflow", "device": "cpu", "precision": "float32"}
    found = Detector.load("yolov3-tiny", **chosen).predict("photos/coffee.jpg")
    label, score, *edges = re.findall(r"[\w.-]+", line)
    assert label == found.labels[0] == "cup"
    # OpenCV's own way of making an image smaller is a little another than the card's.
    assert float(score) == pytest.approx(found.scores[0], abs=0.1)
    np.testing.assert_allclose([float(edge) for edge in edges], found.xyxy[0], atol=12)
