"""The ``detector`` section of a card is checked before anything uses it."""

from __future__ import annotations

import pytest

from cnnkit.bundles import open_model
from cnnkit.bundles.detector_card import HeadSpec, detector_spec, yolo_heads
from cnnkit.errors import BundleError
from tests.detection.small import small_card


def test_what_is_left_out_is_usual() -> None:
    spec = detector_spec(small_card())
    assert (spec.kind, spec.confidence, spec.iou) == ("yolo", 0.25, 0.45)
    assert (dict(spec.thresholds), spec.category_ids) == ({}, None)
    assert yolo_heads(spec.settings) == (HeadSpec("stride32", 32, ((16.0, 32.0),)),)


def test_what_is_given_is_read() -> None:
    spec = detector_spec(
        small_card(confidence=0.4, iou=0.5, thresholds={"dog": 0.7}, category_ids=[1, 18, 72])
    )
    assert (spec.confidence, spec.iou, spec.thresholds["dog"]) == (0.4, 0.5, 0.7)
    assert spec.category_ids == (1, 18, 72)


def test_the_embedded_one_has_the_anchors_that_it_was_trained_with() -> None:
    spec = detector_spec(open_model("yolov3-tiny").card)
    coarse, fine = yolo_heads(spec.settings)
    assert coarse.anchors == ((81, 82), (135, 169), (344, 319))
    assert fine.anchors == ((23, 27), (37, 58), (81, 82))
    assert spec.category_ids[:13] == (*range(1, 12), 13, 14)
    assert (len(spec.category_ids), spec.category_ids[-1]) == (80, 90)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"kind": "magic"}, "detector.kind must be one of yolo, ssd, single"),
        ({"confidence": 2}, "detector.confidence must lie between 0.0 and 1.0"),
        ({"iou": "a"}, "detector.iou must be a number"),
        ({"thresholds": {"dog": -1}}, "thresholds.dog must lie between"),
        ({"thresholds": []}, "thresholds must be a JSON object"),
        ({"category_ids": [1, 2]}, "detector.category_ids must be 3 different whole numbers"),
        ({"category_ids": [1, 1, 2]}, "must be 3 different"),
        ({"category_ids": [1, 2, 2.5]}, "must be 3 different"),
    ],
)
def test_a_broken_section_is_refused(section: dict, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        detector_spec(small_card(**section))


@pytest.mark.parametrize(
    ("heads", "told"),
    [
        (None, "a list of 1 to 16 heads"),
        ([], "a list of 1 to 16 heads"),
        ([{}] * 17, "a list of 1 to 16 heads"),
        ([3], "detector.heads must be a JSON object"),
        ([{"output": "a", "stride": 0, "anchors": [[1, 2]]}], "stride must be a whole number"),
        ([{"output": "a", "stride": 32, "anchors": []}], "a list of 1 to 64 pairs"),
        ([{"output": "a", "stride": 32, "anchors": [[1]]}], r"\[width, height\]"),
        ([{"output": "a", "stride": 32, "anchors": [[1, None]]}], r"\[width, height\]"),
        ([{"output": "a", "stride": 32, "anchors": [[1, 0]]}], "height must lie between"),
        ([{"output": "a", "stride": 32, "anchors": [[1, 1e9]]}], "height must lie between"),
        ([{"stride": 32, "anchors": [[1, 2]]}], "must have the field 'output'"),
    ],
)
def test_broken_heads_are_refused(heads: object, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        yolo_heads({"heads": heads})
