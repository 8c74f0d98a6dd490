"""Decoders of imported heads: by hand, back from what was encoded, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.card import ModelCard, parse_card
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.decoders import make_decoder
from cnnkit.detection.selection import Selection
from cnnkit.errors import BundleError
from tests.detection.small import card_content, told_detector

HEIGHT, WIDTH = 64, 96
CLASSES = 3


def card_of(section: dict[str, Any]) -> ModelCard:
    content = card_content()
    content["input"] |= {"height": HEIGHT, "width": WIDTH}
    return parse_card(content | {"detector": section})


def decode(section: dict[str, Any], least: float | list[float] = 0.5, **outputs: Any) -> Candidates:
    """Return what the decoder of a card's section finds in outputs without the batch."""
    card = card_of(section)
    arrays = {name: np.asarray(values, np.float32) for name, values in outputs.items()}
    return make_decoder(detector_spec(card), card).decode(arrays, np.resize(least, CLASSES))


def check(found: Candidates, boxes: Any, scores: Any, classes: list[int]) -> None:
    np.testing.assert_allclose(found.boxes, np.reshape(boxes, (-1, 4)), atol=1e-3)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert found.classes.tolist() == classes


# --- YOLOv8 ------------------------------------------------------------------------------

V8 = {"kind": "yolov8", "output": "output0"}


def v8_output(count: int = 126) -> np.ndarray:
    """Return an output (7, n) whose cells lie all over the input and hold nothing."""
    raw = np.zeros((4 + CLASSES, count), np.float32)
    raw[0], raw[1] = np.linspace(4, WIDTH - 4, count), np.linspace(4, HEIGHT - 4, count)
    raw[2:4] = 8
    return raw


def test_yolov8_by_hand() -> None:
    raw = v8_output()
    raw[:, 10] = [48, 32, 20, 10, 0.9, 0.2, 0.6]
    box = [38, 27, 58, 37]
    check(decode(V8, output0=raw), [box, box], [0.9, 0.6], [0, 2])
    check(decode(V8, output0=raw.T), [box, box], [0.9, 0.6], [0, 2])
    check(decode(V8, [0.95, 0.1, np.inf], output0=raw), box, [0.2], [1])
    check(decode(V8, np.inf, output0=raw), [], [], [])


def test_yolov8_with_boxes_from_0_to_1() -> None:
    raw = v8_output()
    raw[:, 10] = [48, 32, 20, 10, 0.9, 0, 0]
    raw[:4] /= np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])[:, None]
    for unit in ("auto", "normalized"):
        check(decode(V8 | {"unit": unit}, output0=raw), [38, 27, 58, 37], [0.9], [0])
    pixels = decode(V8 | {"unit": "pixels"}, output0=raw)
    assert np.abs(pixels.boxes).max() < 1


def test_what_is_not_finite_gives_no_box() -> None:
    raw = v8_output()
    raw[4, :4] = 0.9, 0.8, np.nan, np.inf
    raw[2, 1] = np.nan
    assert decode(V8, output0=raw).scores.tolist() == [np.float32(0.9)]
    check(decode(V8, output0=np.full_like(raw, np.nan)), [], [], [])


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"other": np.zeros((7, 126))}, "must have the output 'output0'.* Received: other"),
        ({"output0": np.zeros((8, 126))}, "output0 must have 7 channels.*Received: 8 x 126"),
        ({"output0": np.zeros((2, 7, 126))}, "output0 must have 2 dimensions.*: 2 x 7 x 126"),
        ({"output0": v8_output() + 3}, "output0 must hold scores from 0 to 1. Received: 3"),
    ],
)
def test_other_outputs_are_refused(outputs: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        decode(V8, **outputs)


# --- end to end --------------------------------------------------------------------------

E2E = {"kind": "end-to-end", "output": "output0"}
ROWS = [[10, 20, 30, 40, 0.9, 2], [11, 20, 31, 40, 0.8, 2], [0, 0, 0, 0, 0, 0]]


def test_end_to_end_by_hand() -> None:
    check(decode(E2E, output0=ROWS), [ROWS[0][:4], ROWS[1][:4]], [0.9, 0.8], [2, 2])
    check(decode(E2E, 0.0, output0=ROWS), [ROWS[0][:4], ROWS[1][:4]], [0.9, 0.8], [2, 2])
    check(decode(E2E, [0, 0, 0.85], output0=ROWS), ROWS[0][:4], [0.9], [2])
    check(decode(E2E, output0=[[0.5, 0.25, 1, 1.5, 0.9, 0]]), [48, 16, 96, 96], [0.9], [0])
    check(decode(E2E, output0=[[np.nan, 0, 1, 1, 0.9, 0]]), [], [], [])


@pytest.mark.parametrize("number", [3, -1, 0.5])
def test_a_class_that_does_not_exist_is_refused(number: float) -> None:
    with pytest.raises(BundleError, match=f"give classes from 0 to 2. Received: {number}"):
        decode(E2E, output0=[[0, 0, 9, 9, 0.9, number]])


def test_only_what_is_asked_for_suppresses_what_an_end_to_end_network_finds() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    raw = np.array([ROWS[1], ROWS[0], ROWS[2]], np.float32)

    def scores(selection: Selection | None = None) -> list[float]:
        detector = told_detector(raw, selection, kind="end-to-end", output="stride32")
        return detector.predict(image).scores.round(3).tolist()

    assert scores() == pytest.approx([0.9, 0.8])
    assert scores(Selection(iou=0.5)) == scores(Selection(agnostic=[])) == pytest.approx([0.9])
