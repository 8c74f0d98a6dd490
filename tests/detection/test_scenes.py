"""Seven images against the detections of Darknet itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import darknet_reference as darknet
from cnnkit import boxes
from cnnkit.bundles import open_model
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.detection.decoders import make_decoder
from cnnkit.detection.detector import Detector
from cnnkit.detection.selection import Selection
from cnnkit.runtime import RuntimeOptions
from tests.detection.small import card_with_heads

WRONG_MASKS = ((3, 4, 5), (0, 1, 2))


@pytest.fixture(scope="module")
def scenes(test_data: Path) -> Path:
    return test_data / "scenes"


@pytest.fixture(scope="module")
def raw_outputs(scenes: Path) -> dict[str, tuple]:
    """What the embedded network gives for Darknet's own input, in float32."""
    model = open_model("yolov3-tiny").build()
    found = {}
    for name in darknet.NAMES:
        with Image.open(scenes / f"{name}.jpg") as image:
            pixels = np.asarray(image.convert("RGB"))
        image, placed = darknet.letterboxed(pixels, 416)
        outputs = model(image[None], training=False)
        raw = {key: np.asarray(value)[0] for key, value in outputs.items()}
        found[name] = (raw, placed, *pixels.shape[:2])
    return found


def decoded(raw_outputs: dict[str, tuple], masks=None) -> dict[str, list[dict]]:
    card = open_model("yolov3-tiny").card
    card = card_with_heads(card, masks) if masks else card
    section = detector_spec(card)
    decoder = make_decoder(section, card)
    found = {}
    for name, (raw, placed, height, width) in raw_outputs.items():
        seen = decoder.decode(raw, np.full(80, 0.05))
        moved = darknet.to_image(seen.boxes, placed, 416, height, width)
        kept = boxes.nms(moved, seen.scores, 0.45, seen.classes)
        moved = boxes.xyxy_to_xywh(boxes.clip(moved, height, width))
        found[name] = [
            {
                "bbox": moved[i],
                "score": float(seen.scores[i]),
                "category_id": section.category_ids[seen.classes[i]],
            }
            for i in kept
        ]
    return found


def clipped(entries: dict[str, list[dict]], raw_outputs: dict[str, tuple]) -> dict:
    return {
        name: [
            one
            | {"bbox": boxes.xyxy_to_xywh(boxes.clip(darknet.corners(one), *raw_outputs[name][2:]))}
            for one in found
        ]
        for name, found in entries.items()
    }


def test_with_darknets_own_input_all_is_darknets(scenes: Path, raw_outputs: dict) -> None:
    """The weights are rounded to float16: 0.01 of a score and half a pixel are theirs."""
    expected = clipped(darknet.reference(scenes, "png"), raw_outputs)
    apart = darknet.difference(expected, decoded(raw_outputs))
    assert apart.missing == apart.extra == 0
    assert apart.score <= 0.01
    assert apart.pixels <= 0.5


def test_the_anchors_of_the_file_that_goes_around_fail(scenes: Path, raw_outputs: dict) -> None:
    expected = clipped(darknet.reference(scenes, "png"), raw_outputs)
    apart = darknet.difference(expected, decoded(raw_outputs, WRONG_MASKS))
    assert apart.missing + apart.extra > 0 or apart.pixels > 6


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.slow), "auto"])
def test_as_a_user_calls_it_all_are_found(scenes: Path, precision: str, raw_outputs: dict) -> None:
    detector = Detector.from_bundle(
        open_model("yolov3-tiny"),
        Selection(confidence=0.05),
        options=RuntimeOptions(precision=precision),
    )
    paths = [str(scenes / f"{name}.jpg") for name in darknet.NAMES]
    numbers = detector_spec(detector.bundle.card).category_ids
    found = {
        name: [
            {"bbox": one.box, "score": one.score, "category_id": numbers[one.class_id]}
            for one in result
        ]
        for name, result in zip(darknet.NAMES, detector.predict(paths), strict=True)
    }
    expected = clipped(darknet.reference(scenes), raw_outputs)
    apart = darknet.difference(expected, found)
    assert apart.missing == 0
    assert apart.score <= 0.06
    assert apart.pixels <= 6
