"""Equal tiles that cover everything, and objects that stay one across their borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.detection.candidates import Candidates
from cnnkit.detection.tiling import Tiles, TileWindow, merged, tile_windows


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(200, 700))
def test_tiles_are_equal_overlap_and_cover(height: int, width: int, side: int) -> None:
    windows = tile_windows(height, width, side)
    if max(height, width) <= side:
        assert windows == []
        return
    assert {w.right - w.left for w in windows} == {min(side, width)}
    assert {w.bottom - w.top for w in windows} == {min(side, height)}
    for starts, length in (
        (sorted({w.left for w in windows}), width),
        (sorted({w.top for w in windows}), height),
    ):
        assert starts[0] == 0 and starts[-1] + min(side, length) == length
        assert all(b - a <= 0.8 * side + 1 for a, b in itertools.pairwise(starts))


def test_which_boxes_a_border_cuts() -> None:
    window = TileWindow(100, 0, 300, 200)
    found = np.array([[0, 50, 40, 90], [50, 50, 199, 90], [50, 0, 90, 90], [50, 50, 90, 199]])
    assert window.cuts(found, height=400, width=300).tolist() == [True, False, False, True]


def tiles(*rows: tuple[list[float], float, int, bool]) -> Tiles:
    boxes, scores, classes, cut = zip(*rows, strict=True)
    found = Candidates(np.array(boxes, float), np.array(scores), np.array(classes))
    return Tiles(found, np.array(cut), np.array(classes))


def test_two_halves_become_one() -> None:
    found = merged(
        tiles(
            ([0, 0, 60, 20], 0.8, 0, True),
            ([40, 0, 100, 20], 0.7, 0, True),  # shares a third: too little
            ([10, 0, 100, 20], 0.6, 0, False),  # the whole image's
        ),
        0.45,
        0.5,
    )
    np.testing.assert_array_equal(found.boxes, [[0, 0, 100, 20]])
    assert found.scores.tolist() == [0.8]


def test_whole_boxes_inside_others_stay() -> None:
    """A small person before a large one is no part of it."""
    rows = (([0, 0, 100, 100], 0.9, 0, False), ([10, 10, 30, 60], 0.8, 0, False))
    assert len(merged(tiles(*rows), 0.45, 0.5).scores) == 2
    cut = (rows[0], (*rows[1][:3], True))
    assert len(merged(tiles(*cut), 0.45, 0.5).scores) == 1


def test_other_groups_stay_and_plain_overlap_goes() -> None:
    box = [0, 0, 10, 10]
    found = merged(tiles((box, 0.5, 0, True), (box, 0.9, 1, True), (box, 0.6, 0, False)), 0.45, 0.5)
    assert list(zip(found.scores.tolist(), found.classes.tolist(), strict=True)) == [
        (0.9, 1),
        (0.6, 0),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_without_cuts_it_is_non_max_suppression(seed: int) -> None:
    from cnnkit import boxes

    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (80, 2))
    rows = np.concatenate([corners, corners + random.uniform(5, 30, (80, 2))], axis=1)
    scores, classes = random.uniform(size=80), random.integers(0, 2, 80)
    whole = Tiles(Candidates(rows, scores, classes), np.zeros(80, bool), classes)
    kept = boxes.nms(rows, scores, 0.3, classes)
    np.testing.assert_array_equal(merged(whole, 0.3, 0.5).boxes, rows[kept])
