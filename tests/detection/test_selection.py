"""Classes by any of their names, scores by class, and groups that suppress each other."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.bundles.detector_card import DetectorSpec
from cnnkit.detection.selection import SPELLINGS, Selection, class_index
from cnnkit.errors import UsageError

LABELS = ("person", "dog", "tv", "traffic light")
SPEC = DetectorSpec("yolo", confidence=0.3, thresholds={"dog": 0.6, "ghost": 0.9})


@pytest.mark.parametrize(
    ("selection", "least"),
    [
        (Selection(), [0.3, 0.6, 0.3, 0.3]),
        (Selection(confidence=0.5), [0.5, 0.5, 0.5, 0.5]),
        (Selection(confidences={"dog": 0.2}), [0.3, 0.2, 0.3, 0.3]),
        (Selection(0.5, {"TV": 0.1}), [0.5, 0.5, 0.1, 0.5]),
        (Selection(classes=("person", "traffic light")), [0.3, np.inf, np.inf, 0.3]),
    ],
)
def test_the_lowest_scores(selection: Selection, least: list[float]) -> None:
    assert selection.least_scores(LABELS, SPEC).tolist() == least


@pytest.mark.parametrize(
    ("agnostic", "groups"),
    [
        (None, [0, 1, 2, 3]),
        ((), [0, 0, 0, 0]),
        ((("dog", "tv"),), [0, 1, 1, 3]),
        ((("tv", "person"), ("dog", "traffic light")), [0, 1, 0, 1]),
    ],
)
def test_the_groups(agnostic, groups: list[int]) -> None:
    assert Selection(agnostic=agnostic).groups(LABELS).tolist() == groups


def test_a_class_in_two_groups_is_refused() -> None:
    with pytest.raises(UsageError, match="`agnostic` must have each class in one group"):
        Selection(agnostic=(("dog", "tv"), ("tv", "person"))).groups(LABELS)


@pytest.mark.parametrize("name", ["tv", "TV", " tv ", "tvmonitor", "TVmonitor"])
def test_both_spellings_are_known(name: str) -> None:
    assert class_index(name, LABELS, "`classes`") == 2
    assert class_index(name, ("a", "tvmonitor"), "`classes`") == 1


def test_every_old_spelling_is_of_a_class_of_the_embedded_model() -> None:
    from cnnkit.bundles import open_model

    labels = open_model("yolov3-tiny").labels
    assert set(SPELLINGS) <= set(labels)
    assert len({class_index(old, labels, "`classes`") for old in SPELLINGS.values()}) == 6


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dgo", "Did you mean 'dog'?"),
        ("tvmonitr", "Did you mean 'tvmonitor'"),
        ("xyz", "The model knows person, dog, tv, traffic light."),
    ],
)
def test_another_name_is_refused_with_advice(name: str, told: str) -> None:
    with pytest.raises(UsageError, match="`classes` must name classes of the model") as refused:
        class_index(name, LABELS, "`classes`")
    assert told in str(refused.value)


@pytest.mark.parametrize("arguments", [(1.5,), (None, {"dog": -0.1})])
def test_a_score_beyond_0_to_1_is_refused(arguments: tuple) -> None:
    with pytest.raises(UsageError, match="`confidence` must lie between 0 and 1"):
        Selection(*arguments)
    with pytest.raises(UsageError, match="`iou` must lie between"):
        Selection(iou=2)


def test_exact_names_come_first_and_unicode_forms_are_one() -> None:
    labels = ("A", "a", "caf\u00e9")
    assert [class_index(name, labels, "`classes`") for name in ("a", "A")] == [1, 0]
    assert class_index("CAFE\u0301", labels, "`where`") == 2
    with pytest.raises(UsageError, match=r"`classes` must name one class.*capitalization"):
        class_index("aB", ("AB", "ab"), "`classes`")


def test_the_parameters_of_detect_and_of_the_detector_are_read_alike() -> None:
    """The empty name, all others' score, was one of no class in `Detector.load`."""
    made = Selection.of({"dog": 0.7, "": 0.2}, None, "dog", False)
    assert made == Selection(0.2, {"dog": 0.7}, None, ["dog"], None)
    assert Selection.of(0.3, 0.5, ("dog", "cat"), True).agnostic == ()
