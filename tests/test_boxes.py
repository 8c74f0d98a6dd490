"""Boxes against hand-computed cases, a plain reference, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnnkit import boxes
from cnnkit.images import InputSpec, place

sides = st.floats(0.25, 200, width=32)
corners = st.floats(-100, 100, width=32)
box = st.builds(lambda x, y, w, h: [x, y, x + w, y + h], corners, corners, sides, sides)
box_lists = st.lists(box, min_size=1, max_size=30).map(lambda rows: np.array(rows, np.float64))
whole_boxes = arrays(
    np.int64, st.tuples(st.integers(0, 40), st.just(4)), elements=st.integers(0, 9)
)

ONE, OTHER = [0, 0, 10, 10], [5, 5, 15, 25]  # 25 in common, 275 together, enclosed by 15 x 25


def random_boxes(count: int, side: float = 1000, largest: float = 100) -> np.ndarray:
    random = np.random.default_rng(count)
    points = random.uniform(0, side, (count, 2))
    return np.concatenate([points, points + random.uniform(1, largest, (count, 2))], axis=1)


def plain_nms(rows: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    left, kept = list(np.argsort(-scores, kind="stable")), []
    while left:
        kept.append(left.pop(0))
        left = [i for i in left if boxes.iou(rows[kept[-1]], rows[i]) <= threshold]
    return kept


def test_overlaps_by_hand() -> None:
    iou = 25 / 275
    assert boxes.intersection(ONE, OTHER) == 25
    assert boxes.iou(ONE, OTHER) == pytest.approx(iou)
    assert boxes.intersection_over_smaller(ONE, OTHER) == 0.25
    assert boxes.generalized_iou(ONE, OTHER) == pytest.approx(iou - (375 - 275) / 375)
    distance = iou - (25 + 100) / (15**2 + 25**2)
    assert boxes.distance_iou(ONE, OTHER) == pytest.approx(distance)
    unlike = 4 / math.pi**2 * (math.atan(1) - math.atan(0.5)) ** 2
    complete = distance - unlike / (1 - iou + unlike) * unlike
    assert boxes.complete_iou(ONE, OTHER) == pytest.approx(complete)


def test_boxes_apart_empty_or_swapped_overlap_nothing() -> None:
    assert boxes.iou(ONE, [10, 0, 20, 10]) == 0  # they touch
    assert boxes.generalized_iou(ONE, [20, 0, 30, 10]) == pytest.approx(-1 / 3)
    assert boxes.iou([5, 5, 5, 5], [5, 5, 5, 5]) == 0
    assert boxes.iou(ONE, [8, 8, 2, 2]) == 0
    assert boxes.area([8, 8, 2, 2]) == 0


@given(box_lists, box_lists)
def test_overlaps_keep_their_ranges_and_order(first: np.ndarray, second: np.ndarray) -> None:
    first = first[:, None]
    iou = boxes.iou(first, second)
    assert iou.shape == (len(first), len(second))
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
    np.testing.assert_allclose(iou, boxes.iou(second, first))
    for other in (boxes.generalized_iou, boxes.distance_iou, boxes.complete_iou):
        values = other(first, second)
        assert (values <= iou + 1e-9).all() and (values >= -2).all()
        np.testing.assert_allclose(other(second[:, None], second).diagonal(), 1, atol=1e-9)
    assert (boxes.distance_iou(first, second) >= boxes.complete_iou(first, second) - 1e-9).all()
    assert (boxes.intersection_over_smaller(first, second) >= iou - 1e-9).all()


@given(box_lists, st.floats(-50, 50), st.floats(0.5, 4))
def test_overlap_is_the_same_anywhere_and_at_any_scale(
    rows: np.ndarray, move: float, scale: float
) -> None:
    expected = boxes.iou(rows[:, None], rows)
    moved = rows * scale + move
    np.testing.assert_allclose(boxes.iou(moved[:, None], moved), expected, atol=1e-6)


@given(box_lists)
def test_forms_come_back(rows: np.ndarray) -> None:
    np.testing.assert_allclose(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(rows)), rows, atol=1e-9)
    np.testing.assert_allclose(boxes.cxcywh_to_xyxy(boxes.xyxy_to_cxcywh(rows)), rows, atol=1e-9)
    np.testing.assert_allclose(boxes.xyxy_to_xywh(rows)[:, 2:].prod(1), boxes.area(rows))


def test_forms_by_hand() -> None:
    np.testing.assert_array_equal(boxes.xyxy_to_xywh([1, 2, 4, 8]), [1, 2, 3, 6])
    np.testing.assert_array_equal(boxes.xyxy_to_cxcywh([1, 2, 4, 8]), [2.5, 5, 3, 6])
    np.testing.assert_array_equal(boxes.clip([[-1, 2, 50, 80]], 40, 30), [[0, 2, 30, 40]])


@pytest.mark.parametrize("threshold", [0, 0.1, 0.45, 0.9, 1])
@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_nms_is_the_plain_one(
    count: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all is done in many small blocks."""
    rows = random_boxes(count, side=150)
    scores = np.random.default_rng(1).integers(0, 9, count) / 10  # with ties
    expected = plain_nms(rows, scores, threshold)
    assert boxes.nms(rows, scores, threshold).tolist() == expected
    for name, size in (("BLOCK", 40), ("SMALL_BLOCK", 9), ("TOGETHER", 4), ("MAX_OVERLAPS", 3)):
        monkeypatch.setattr(boxes, name, size)
    assert boxes.nms(rows, scores, threshold).tolist() == expected


@given(whole_boxes, st.sampled_from([0, 0.25, 0.5, 0.45]), st.integers(0, 3))
def test_nms_of_whole_numbers_with_empty_and_swapped_boxes(
    rows: np.ndarray, threshold: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, len(rows)) / 4
    assert boxes.nms(rows, scores, threshold).tolist() == plain_nms(rows, scores, threshold)


def test_the_threshold_itself_stays() -> None:
    rows = [[0, 0, 10, 10], [0, 0, 10, 5]]  # IoU 0.5
    assert boxes.nms(rows, [0.9, 0.8], 0.5).tolist() == [0, 1]
    assert boxes.nms(rows, [0.8, 0.9], 0.49).tolist() == [1]


def test_a_removed_box_removes_nothing() -> None:
    rows = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]  # each overlaps the next by 6 of 14
    assert boxes.nms(rows, [0.9, 0.8, 0.7], 0.4).tolist() == [0, 2]


def test_groups_leave_each_other_alone() -> None:
    rows, scores = random_boxes(200, side=120), np.random.default_rng(3).uniform(size=200)
    groups = np.arange(200) % 3
    kept = boxes.nms(rows, scores, 0.3, groups)
    assert (np.diff(scores[kept]) <= 0).all()
    for group in range(3):
        own = np.flatnonzero(groups == group)
        expected = own[plain_nms(rows[own], scores[own], 0.3)]
        assert kept[groups[kept] == group].tolist() == expected.tolist()
    assert boxes.nms(rows, scores, 0.3, groups, limit=5).tolist() == kept[:5].tolist()
    assert boxes.nms(rows[:0], scores[:0], 0.3, groups[:0]).tolist() == []


@pytest.mark.slow
def test_a_million_boxes_in_bounded_memory() -> None:
    import resource

    rows, count = random_boxes(1_000_000), 1_000_000
    random = np.random.default_rng(0)
    scores, classes = random.uniform(size=count), random.integers(0, 80, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = boxes.nms(rows, scores, 0.45, classes)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert 100_000 < len(kept) < count
    assert grown < 400_000  # kilobytes


image_sides = st.integers(1, 5000)


@given(image_sides, image_sides, st.sampled_from([(416, 416), (320, 608)]), box_lists)
def test_a_letterbox_comes_back(
    height: int, width: int, size: tuple[int, int], rows: np.ndarray
) -> None:
    mapping = boxes.letterbox(height, width, *size)
    np.testing.assert_allclose(mapping.to_image(mapping.to_input(rows)), rows, atol=1e-6)
    whole = mapping.to_input([0, 0, width, height])
    assert (whole >= 0).all() and (whole <= np.array([size[1], size[0]] * 2) + 1e-6).all()
    spec = InputSpec(*size, fit="pad")
    placed = place(height, width, spec)  # what is done with the pixels
    assert whole.tolist() == pytest.approx(
        [
            placed.left,
            placed.top,
            placed.left + placed.window.full[1],
            placed.top + placed.window.full[0],
        ]
    )


def test_letterbox_by_hand() -> None:
    mapping = boxes.letterbox(576, 768, 416, 416)  # to 312 x 416, 52 rows above
    np.testing.assert_allclose(mapping.to_input([0, 0, 768, 576]), [0, 52, 416, 364])
    np.testing.assert_allclose(mapping.to_image([208, 208, 416, 364]), [384, 288, 768, 576])


def test_sizes_in_the_input() -> None:
    sizes = boxes.letterboxed_sizes([[100, 50], [100, 50]], [[1000, 500], [250, 500]], 416, 416)
    np.testing.assert_allclose(sizes, [[41.6, 20.8], [83.2, 41.6]])


def test_anchors_find_the_clusters() -> None:
    random = np.random.default_rng(2)
    centers = np.array([[10, 20], [80, 60], [300, 200]])
    sizes = np.concatenate([c * random.uniform(0.95, 1.05, (50, 2)) for c in centers])
    anchors = boxes.kmeans_anchors(sizes, 3)
    np.testing.assert_allclose(anchors, centers, rtol=0.03)
    assert boxes.anchor_fit(sizes, anchors) > 0.94
    assert boxes.anchor_fit(sizes, anchors[:1]) < 0.5
    np.testing.assert_array_equal(anchors, boxes.kmeans_anchors(sizes, 3))


def test_size_overlap_by_hand() -> None:
    np.testing.assert_allclose(
        boxes.size_iou([[10, 10]], [[10, 10], [5, 10], [20, 20]]), [[1, 0.5, 0.25]]
    )


@pytest.mark.parametrize(
    ("sizes", "count", "told"),
    [
        ([[1, 1], [1, 1]], 2, "different sizes, 1. Received: 2"),
        ([[1, 1]], 0, "`count` must be from 1"),
        ([[1, 0]], 1, "`sizes` must be finite and above 0"),
        ([[1, math.nan]], 1, "`sizes` must be finite"),
    ],
)
def test_anchors_that_cannot_be_are_refused(sizes: list, count: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        boxes.kmeans_anchors(np.array(sizes), count)
