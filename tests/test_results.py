"""Results: one name for the number of a class, one layout for every box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.explanation import Explanation
from cnnkit.explanation.heat import Region
from cnnkit.results import Classification, Detections, Face, Prediction

POINTS = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))


def detections() -> Detections:
    boxes = np.array([[10.0, 20.0, 40.0, 60.0], [0.0, 5.0, 8.0, 11.0]])
    return Detections(100, 80, boxes, np.array([0.75, 0.5]), np.array([16, 2]), ("dog", "car"))


def test_every_box_is_left_top_width_height_in_rows_and_has_both_layouts() -> None:
    face = Face((10.0, 20.0, 40.0, 60.0), 0.9, POINTS)
    heat, region = np.zeros((2, 2), np.float32), Region(0, 10, 50, 40)
    about = Explanation(3, "cat", 0.5, "cat", heat, region, (10, 20, 40, 60), 80, 100, region)
    first = next(iter(detections()))
    for result in (face, about, first):
        assert result.to_dict()["box"] == [10, 20, 30, 40]
        assert (result.box, result.xywh) == ((10, 20, 30, 40), (10, 20, 30, 40))
        assert result.xyxy == (10, 20, 40, 60)
    assert about.to_dict()["region"] == [0, 10, 50, 30]
    assert detections().xywh.tolist() == [[10, 20, 30, 40], [0, 5, 8, 6]]


def test_the_number_of_a_class_is_class_id() -> None:
    heat, region = np.zeros((2, 2), np.float32), Region(0, 0, 1, 1)
    about = Explanation(3, "cat", 0.5, "cat", heat, region, None, 1, 1, region)
    found = detections()
    for row, number in (
        (Prediction(7, "cat", 0.5).to_dict(), 7),
        (found.to_dict()["detections"][0], 16),
        (about.to_dict(), 3),
    ):
        assert row["class_id"] == number and row.keys().isdisjoint({"index", "class"})
    assert found.class_id.tolist() == [one.class_id for one in found]


@pytest.mark.peer
def test_detections_go_to_supervision_and_back() -> None:
    supervision = pytest.importorskip("supervision")
    there = detections().to_supervision()
    assert isinstance(there, supervision.Detections)
    assert there.data["class_name"].tolist() == ["dog", "car"]
    turned = there[np.array([1, 0])]  # a tool may order them anew
    assert Detections.from_supervision(turned, 100, 80).to_dict() == detections().to_dict()
    nothing = Detections.from_supervision(supervision.Detections.empty(), 100, 80)
    assert len(nothing) == 0 and len(nothing.to_supervision()) == 0


def test_of_many_wrong_boxes_the_first_is_shown() -> None:
    many, ones = ("dog",) * 5000, np.ones(5000)
    boxes = np.ones((5000, 4))
    boxes[7:, 2] = np.nan
    wrong = r"^`xyxy` must be finite. Received: \[1.0, 1.0, nan, 1.0\] as item 7.$"
    with pytest.raises(UsageError, match=wrong):
        Detections(9, 9, boxes, ones, np.zeros(5000, int), many)
    scores = np.append(ones[1:] / 2, 0.75)
    wrong = r"^`scores` must be in descending order. Received: 0.5 before 0.75.$"
    with pytest.raises(UsageError, match=wrong):
        Detections(9, 9, np.ones((5000, 4)), scores, np.zeros(5000, int), many)


def test_results_with_arrays_are_compared_by_their_values() -> None:
    assert detections() == detections() and hash(detections()) == hash(detections())
    moved = replace(detections(), xyxy=detections().xyxy + 1)
    assert detections() != moved and detections() != "dog"
    guesses = (Prediction(1, "cat", 0.9),)
    plain = Classification(guesses, "cat")
    with_features = Classification(guesses, "cat", np.ones(3, np.float32))
    assert with_features == Classification(guesses, "cat", np.ones(3, np.float32))
    assert with_features != plain and plain == Classification(guesses, "cat")
    assert len({plain, Classification(guesses, "cat")}) == 1
