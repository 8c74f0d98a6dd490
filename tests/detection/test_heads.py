"""Decoders of imported heads: by hand, back from what was encoded, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnkit.bundles.card import ModelCard, parse_card
from cnnkit.bundles.detector_card import KINDS, detector_spec
from cnnkit.bundles.head_rules import HEADS
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.decoders import DECODERS, make_decoder
from cnnkit.detection.heads import grid_cells
from cnnkit.detection.selection import Selection
from cnnkit.errors import BundleError
from tests.detection.encoding import (
    CELLS,
    CENTERED,
    CLASSES,
    DETR,
    E2E,
    EVERY,
    HEIGHT,
    JOINED,
    LISTS,
    NANO,
    PAIR,
    PLUS,
    PLUS_CELLS,
    SIDES,
    STRIDES,
    TF,
    TFLITE,
    V5,
    V8,
    WIDTH,
    X,
    cells,
    encoded,
)
from tests.detection.small import SURE, card_content, told_detector


def card_of(section: dict[str, Any]) -> ModelCard:
    content = card_content()
    content["input"] |= {"height": HEIGHT, "width": WIDTH}
    return parse_card(content | {"detector": section})


def decode(section: dict[str, Any], least: float | list[float] = 0.5, **outputs: Any) -> Candidates:
    """Return what the decoder of a card's section finds in outputs without the batch."""
    card = card_of(section)
    wanted = np.resize(np.asarray(least, float), CLASSES)
    arrays = {name: np.asarray(values, np.float32) for name, values in outputs.items()}
    return make_decoder(detector_spec(card), card).decode(arrays, wanted)


def check(found: Candidates, boxes: Any, scores: Any, classes: list[int]) -> None:
    np.testing.assert_allclose(found.boxes, np.reshape(boxes, (-1, 4)), atol=1e-3)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert found.classes.tolist() == classes


def clipped(boxes: Any) -> np.ndarray:
    """Return boxes that end at the border of the input, as NanoDet's do."""
    return np.clip(boxes, 0, SIDES)


def log_odds(score: float) -> float:
    return float(np.log(score / (1 - score)))


# --- one object at a known place ---------------------------------------------------------

BOX = [38, 27, 58, 37]  # center 48, 32; sides 20, 10
SMALL = [48 / WIDTH, 32 / HEIGHT, 20 / WIDTH, 10 / HEIGHT]


def test_yolov8() -> None:
    raw = cells(4 + CLASSES).T
    raw[:, 10] = [48, 32, 20, 10, 0.9, 0.2, 0.6]
    check(decode(V8, output0=raw), [BOX, BOX], [0.9, 0.6], [0, 2])
    check(decode(V8, output0=raw.T), [BOX, BOX], [0.9, 0.6], [0, 2])
    check(decode(V8, [0.95, 0.1, np.inf], output0=raw), BOX, [0.2], [1])
    check(decode(V8, np.inf, output0=raw), [], [], [])


def test_yolov5() -> None:
    raw = cells(5 + CLASSES, 3 * CELLS)
    raw[200] = [48, 32, 20, 10, 0.9, 1, 0.5, 0.8]
    raw[300, 5:] = 1  # without an object
    check(decode(V5, output0=raw), [BOX, BOX], [0.9, 0.72], [0, 2])
    check(decode(V5, [0.95, 0.1, np.inf], output0=raw), BOX, [0.45], [1])


def test_yolox() -> None:
    raw = np.zeros((CELLS, 5 + CLASSES), np.float32)
    # The second level has 4 rows of 6 cells: row 1, column 2 begins at x 32, y 16.
    raw[96 + 6 + 2] = [1, 1, np.log(20 / 16), np.log(10 / 16), 0.9, 1, 0, 0.8]
    check(decode(X, output0=raw), [BOX, BOX], [0.9, 0.72], [0, 2])
    check(decode(X | {"unit": "offsets"}, output0=raw), [BOX, BOX], [0.9, 0.72], [0, 2])
    decoded = cells(5 + CLASSES)
    decoded[96 + 6 + 2] = [48, 32, 20, 10, 0.9, 1, 0, 0.8]
    check(decode(X, output0=decoded), [BOX, BOX], [0.9, 0.72], [0, 2])
    raw[96 + 6 + 2, 2] = 1e30
    assert np.isfinite(decode(X, output0=raw).boxes).all()


@pytest.mark.parametrize("section", [V5, V8, X | {"unit": "normalized"}])
def test_boxes_from_0_to_1(section: dict[str, Any]) -> None:
    raw = cells(5 + CLASSES - (section == V8))
    raw[10] = [48, 32, 20, 10, 0.9, *[1] * (section != V8), 0, 0]
    raw[:, :4] /= SIDES
    check(decode(section, output0=raw), BOX, [0.9], [0])
    pixels = decode(section | {"unit": "pixels"}, output0=raw)
    assert np.abs(pixels.boxes).max() < 1


@pytest.mark.parametrize("are_logits", [True, False])
def test_nanodet(are_logits: bool) -> None:
    raw = np.zeros((CELLS, CLASSES + 44), np.float32)
    raw[:, :CLASSES] = -9 if are_logits else 0
    raw[120, :CLASSES] = [log_odds(0.75), -9, log_odds(0.6)] if are_logits else [0.75, 0, 0.6]
    raw[120, CLASSES:].reshape(4, 11)[[0, 1, 2, 3], [0, 1, 10, 2]] = SURE
    # The first cell of stride 32, whose middle is at 16, 16.
    box = clipped([16, 16 - 32, 16 + 320, 16 + 64])
    check(decode(NANO, output0=raw), [box, box], [0.75, 0.6], [0, 2])
    scores = "logits" if are_logits else "probabilities"
    check(decode(NANO | {"scores": scores}, 0.7, output0=raw), box, [0.75], [0])


def test_nanodet_plus() -> None:
    raw = np.zeros((PLUS_CELLS, CLASSES + 32), np.float32)
    raw[127, 1] = 0.75
    raw[127, CLASSES:].reshape(4, 8)[[0, 1, 2, 3], [1, 0, 7, 2]] = SURE
    raw[127, CLASSES:].reshape(4, 8)[3, 3] = SURE  # half of 2 and half of 3 cells
    # The second cell of stride 64, whose corner is at 64, 0.
    box = clipped([0, 0, 64 + 7 * 64, 2.5 * 64])
    check(decode(PLUS, output0=raw), box, [0.75], [1])


@pytest.mark.parametrize("section", [NANO, PLUS])
def test_nanodet_cell_by_cell(section: dict[str, Any]) -> None:
    """The project's formula as it is written: a softmax, its mean, times the stride."""
    random = np.random.default_rng(7)
    bins = section["bins"]
    raw = random.normal(0, 2, (PLUS_CELLS, CLASSES + 4 * bins)).astype(np.float32)
    expected, row = [], 0
    for stride in section["strides"]:
        for y in range(-(-HEIGHT // stride)):
            for x in range(-(-WIDTH // stride)):
                numbers = raw[row].astype(float)
                reach = []
                for side in range(4):
                    part = numbers[CLASSES + side * bins : CLASSES + (side + 1) * bins]
                    shares = np.exp(part) / np.exp(part).sum()
                    reach.append(sum(i * share for i, share in enumerate(shares)) * stride)
                left, top = (x + section["offset"]) * stride, (y + section["offset"]) * stride
                box = clipped([left - reach[0], top - reach[1], left + reach[2], top + reach[3]])
                expected += [[*box, 1 / (1 + np.exp(-n)), c] for c, n in enumerate(numbers[:3])]
                row += 1
    found = decode(section, 0.0, output0=raw[:row])
    listed = np.concatenate([found.boxes, found.scores[:, None], found.classes[:, None]], axis=1)
    np.testing.assert_allclose(listed, expected, rtol=1e-4, atol=1e-3)


def test_detr() -> None:
    boxes = [[0.1, 0.1, 0.1, 0.1], SMALL]
    logits = [[-9, -9, -9], [log_odds(0.9), -9, log_odds(0.6)]]
    check(decode(DETR, pred_boxes=boxes, logits=logits), [BOX, BOX], [0.9, 0.6], [0, 2])
    least = [np.inf, 0.1, 0.1]
    check(decode(DETR, least, pred_boxes=boxes, logits=logits), BOX, [0.6], [2])
    # Not more than there are queries: the best.
    found = decode(DETR, 0, pred_boxes=[SMALL], logits=[[0, 2, 1]])
    assert found.classes.tolist() == [1]


def test_detr_with_a_sigmoid_for_the_background() -> None:
    """Drops the last score before it takes as many of the others as there are queries."""
    boxes = [[0.1, 0.1, 0.1, 0.1], SMALL]
    logits = [[-9, -9, -9, 8], [log_odds(0.9), -9, log_odds(0.6), 9]]
    section = DETR | {"scores": "sigmoid-background"}
    check(decode(section, pred_boxes=boxes, logits=logits), [BOX, BOX], [0.9, 0.6], [0, 2])


def test_detr_with_a_score_for_no_object() -> None:
    boxes = [SMALL, SMALL, SMALL]
    logits = np.log([[0.6, 0.3, 0.05, 0.05], [0.1, 0.1, 0.1, 0.7], [0.2, 0.3, 0.4, 0.1]])
    section = DETR | {"scores": "softmax"}
    check(decode(section, 0.5, pred_boxes=boxes, logits=logits), BOX, [0.6], [0])
    check(decode(section, 0.35, pred_boxes=boxes, logits=logits), [BOX, BOX], [0.6, 0.4], [0, 2])


def test_detr_in_one_output() -> None:
    raw = [[*SMALL, 0.9, 0.2, 0.6], [0.5, 0.5, 1, 1, 0.1, 0, 0]]
    check(decode(JOINED, output0=raw), BOX, [0.9], [0])


ROWS = [[10, 20, 30, 40, 0.9, 2], [11, 20, 31, 40, 0.8, 2], [0, 0, 0, 0, 0, 0]]


def test_end_to_end() -> None:
    check(decode(E2E, output0=ROWS), [ROWS[0][:4], ROWS[1][:4]], [0.9, 0.8], [2, 2])
    check(decode(E2E, 0.0, output0=ROWS), [ROWS[0][:4], ROWS[1][:4]], [0.9, 0.8], [2, 2])
    check(decode(E2E, [0, 0, 0.85], output0=ROWS), ROWS[0][:4], [0.9], [2])
    check(decode(E2E, output0=[[0.5, 0.25, 1, 1.5, 0.9, 0]]), [48, 16, 96, 96], [0.9], [0])
    check(decode(E2E, output0=np.zeros((0, 6))), [], [], [])
    check(decode(CENTERED, output0=[[*SMALL, 0.9, 1]]), BOX, [0.9], [1])


def test_detections() -> None:
    outputs = {"boxes": [BOX, BOX, [0, 0, 0, 0]], "scores": [0.9, 0.6, 0], "labels": [2, 0, -1]}
    check(decode(LISTS, **outputs), [BOX, BOX], [0.9, 0.6], [2, 0])
    check(decode(LISTS, [0.7, 0.7, 0.95], **outputs), [], [], [])
    small = {"boxes": np.divide(BOX, SIDES)[None], "scores": [0.9], "labels": [1]}
    check(decode(LISTS, **small), BOX, [0.9], [1])


def test_detections_of_tensorflow() -> None:
    box = np.divide(BOX, SIDES)[[1, 0, 3, 2]]
    outputs = {"boxes": [box, box], "scores": [0.9, 0.8], "labels": [2, 1], "count": 1}
    check(decode(TFLITE, **outputs), BOX, [0.9], [2])
    check(decode(TF, **outputs), BOX, [0.9], [1])
    check(decode(TF, **outputs | {"count": [2]}), [BOX, BOX], [0.9, 0.8], [1, 0])
    check(decode(TF, **outputs | {"count": np.nan}), [], [], [])
    check(decode(TF, **outputs | {"count": -1}), [], [], [])


def test_boxes_and_scores() -> None:
    boxes, scores = np.zeros((CELLS, 4)), np.zeros((CELLS, CLASSES))
    boxes[:, 2:], boxes[5], scores[5] = 50, BOX, [0.9, 0.2, 0.6]
    check(decode(PAIR, boxes=boxes, scores=scores), [BOX, BOX], [0.9, 0.6], [0, 2])
    check(decode(PAIR, boxes=boxes / SIDES, scores=scores), [BOX, BOX], [0.9, 0.6], [0, 2])


# --- back from what was encoded ----------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_encoded_comes_back(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    section = EVERY[name]
    corners, strides = grid_cells((HEIGHT, WIDTH), section.get("strides", STRIDES))
    places = np.arange(20) * 2
    middles = (corners[places] + section.get("offset", 0.5)) * strides[places, None]
    reach = random.uniform(0, 6.9, (20, 4)) * strides[places, None]
    boxes = np.concatenate([middles - reach[:, :2], middles + reach[:, 2:] + 0.1], 1)
    scores = random.dirichlet([1] * 4, 20)[:, :3] * 0.98 + 0.005
    found = decode(section, 0, **encoded(section, boxes, scores))
    boxes = clipped(boxes) if section["kind"] == "nanodet" else boxes
    single = section["kind"] in ("end-to-end", "detections") or name.endswith("output")
    if single or section.get("scores") == "softmax":
        expected = [(i, c) for i, c in enumerate(scores.argmax(1))]
    elif section["kind"] == "detr":  # as many as queries, the best
        flat = np.sort(np.argsort(-scores.ravel())[:20])
        expected = [divmod(int(i), CLASSES) for i in flat]
    else:
        expected = [(i, c) for i in range(20) for c in range(CLASSES)]
    rows, classes = np.array(expected).T
    kept = found.scores > 1e-4  # the other cells have scores near 0
    assert found.classes[kept].tolist() == classes.tolist()
    np.testing.assert_allclose(found.scores[kept], scores[rows, classes], rtol=1e-4)
    np.testing.assert_allclose(found.boxes[kept], boxes[rows], rtol=1e-4, atol=2e-3)


def test_every_kind_has_a_decoder_that_knows_whether_to_suppress() -> None:
    assert set(DECODERS) == set(KINDS)
    assert {head.kind for head in HEADS.values()} <= set(KINDS)
    ends = {}
    for name, section in EVERY.items():
        card = card_of(section)
        ends[name] = make_decoder(detector_spec(card), card).end_to_end
    assert {name for name, end in ends.items() if end} == {
        *("end-to-end", "rt-detr, finished", "rt-detr", "rt-detr in one output", "detr"),
        *("detections", "tflite-detections", "tf-detections"),
    }


# --- what is refused or omitted ----------------------------------------------------------


CELL_KINDS = ("yolov8", "yolov5", "yolox", "nanodet", "boxes-scores")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_no_box(name: str, bad: float) -> None:
    section = EVERY[name]
    boxes = np.array([[38, 27, 58, 37], [20, 20, 40, 44], [30, 10, 50, 40]], float)
    scores = np.array([[0.1, 0.8, 0.05], [0.1, 0.1, 0.7], [0.75, 0.1, 0.1]])
    if section["kind"] == "nanodet":
        corners, strides = grid_cells((HEIGHT, WIDTH), section["strides"])
        middles = ((corners + section["offset"]) * strides[:, None])[[0, 2, 4]]
        boxes = np.concatenate([middles - 4, middles + 5], 1)
    outputs = {k: np.array(v, np.float32) for k, v in encoded(section, boxes, scores).items()}
    whole = decode(section, 0.6, **outputs)
    assert whole.classes.tolist() == [1, 2, 0]
    for output in ("output0", "pred_boxes", "logits", "boxes", "scores"):
        if output in outputs:
            spoiled = {k: v.copy() for k, v in outputs.items()}
            values = spoiled[output].T if section["kind"] == "yolov8" else spoiled[output]
            place = 2 if section["kind"] in CELL_KINDS else 1
            values[place] = bad
            with np.errstate(all="raise"):
                assert decode(section, 0.6, **spoiled).classes.tolist() == [1, 0], output
            empty = {k: np.full_like(v, bad) for k, v in outputs.items()}
            assert not len(decode(section, 0.6, **empty).scores)


@pytest.mark.parametrize(
    ("section", "outputs", "told"),
    [
        (V8, {"other": cells(7)}, "must have the output 'output0'.* Received: other"),
        (V8, {"output0": cells(8)}, "output0 must have 7 channels.*Received: 126 x 8"),
        (V8, {"output0": np.zeros((2, 7, 126))}, "output0 must have 2 dimensions.*: 2 x 7 x 126"),
        (V8, {"output0": cells(7) + 3}, "output0 must hold scores from 0 to 1. Received: 3"),
        (V5, {"output0": cells(7)}, "output0 must have 8 columns. Received: 126 x 7"),
        (X, {"output0": cells(8, 125)}, "have 8 columns and 126 rows. Received: 125 x 8"),
        (E2E, {"output0": cells(7)}, "output0 must have 6 columns"),
        (E2E, {"output0": [[0, 0, 9, 9, 0.9, 3]]}, "give classes from 0 to 2. Received: 3"),
        (E2E, {"output0": [[0, 0, 9, 9, 0.9, -1]]}, "give classes from 0 to 2. Received: -1"),
        (E2E, {"output0": [[0, 0, 9, 9, 0.9, 0.5]]}, "give classes from 0 to 2. Received: 0.5"),
        (PLUS, {"output0": np.zeros((126, 35))}, "output0 must be 128 x 35, .*: 126 x 35"),
        (DETR, {"pred_boxes": np.zeros((5, 4)), "logits": np.zeros((5, 4))}, "have 3 class scor"),
        (DETR, {"pred_boxes": np.zeros((4, 4)), "logits": np.zeros((5, 3))}, "must be 5 x 4"),
        (PAIR, {"boxes": np.zeros((5, 4)), "scores": np.zeros((5, 4))}, "have 3 class scores"),
        (PAIR, {"boxes": np.zeros((4, 4)), "scores": np.zeros((5, 3))}, "must be 5 x 4"),
        (LISTS, {"boxes": np.zeros((4, 4)), "scores": [0, 1], "labels": [1, 1]}, "must be 2 x 4"),
        (LISTS, {"boxes": [BOX], "scores": [2], "labels": [0.9]}, "scores from 0 to 1. Rec"),
        (TF, {"boxes": [BOX], "scores": [0.9], "labels": [0], "count": 1}, "from 1 to 3. Rec"),
    ],
)
def test_other_outputs_are_refused(
    section: dict[str, Any], outputs: dict[str, Any], told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        decode(section, **outputs)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"kind": "yolov8"}, "detector must have the field 'output'"),
        (V8 | {"unit": "miles"}, "detector.unit must be one of auto, pixels, normalized"),
        (X | {"strides": [0]}, "detector.strides must be a list of 1 to 16 whole numbers"),
        (X | {"strides": [8] * 17}, "detector.strides must be a list of 1 to 16 whole numbers"),
        (NANO | {"bins": 65}, "detector.bins must be a whole number from 2 to 64"),
        (NANO | {"offset": 2}, "detector.offset must lie between"),
        (DETR | {"scores": "many"}, "detector.scores must be one of sigmoid"),
        ({"kind": "detr", "boxes": "a"}, "detector must have the field 'logits'"),
        (LISTS | {"order": "xywh"}, "detector.order must be one of xyxy, yxyx"),
    ],
)
def test_a_section_that_breaks_a_rule_is_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        decode(section)


def test_only_what_is_asked_for_suppresses_what_an_end_to_end_network_finds() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    raw = np.array([ROWS[1], ROWS[0], ROWS[2]], np.float32)

    def scores(selection: Selection | None = None) -> list[float]:
        detector = told_detector(raw, selection, kind="end-to-end", output="stride32")
        return detector.predict(image).scores.round(3).tolist()

    assert scores() == pytest.approx([0.9, 0.8])
    assert scores(Selection(iou=0.5)) == scores(Selection(agnostic=[])) == pytest.approx([0.9])
