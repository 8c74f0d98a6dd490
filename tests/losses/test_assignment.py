"""Which cells learn which box: cases by hand, and a plain twin in loops."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnkit.boxes import iou
from cnnkit.losses.assignment import CELLS_A_BOX, FAINT, LEAST_TARGET, task_aligned

# 4 x 4 cells of 8 pixels and then 2 x 2 of 16, row by row: an input of 32 x 32.
STRIDES = np.array([8.0] * 16 + [16.0] * 4, np.float32)
MIDDLES = np.array(
    [[8 * x + 4, 8 * y + 4] for y in range(4) for x in range(4)]
    + [[16 * x + 8, 16 * y + 8] for y in range(2) for x in range(2)],
    np.float32,
)


def assigned(scores, boxes, real, valid=None):
    """Return the place of the true box of each cell of one image, -1 for none, and the targets."""
    real = np.array(real, np.float32).reshape(1, -1, 4)
    valid = np.ones(real.shape[:2], np.float32) if valid is None else np.array([valid], np.float32)
    scores = np.broadcast_to(np.float32(scores), (1, real.shape[1], len(STRIDES)))
    box, target = map(
        keras.ops.convert_to_numpy,
        task_aligned(scores, np.float32(boxes)[None], MIDDLES, STRIDES, real, valid),
    )
    return np.where(target > 0, box, -1)[0], target[0]


def around(middles: np.ndarray, side: float) -> np.ndarray:
    """Return squares around points as corners."""
    return np.concatenate([middles - side / 2, middles + side / 2], axis=-1)


def test_the_cell_that_knows_a_box_exactly_is_told_1_and_a_worse_one_less() -> None:
    real = [8, 8, 16, 16]  # just cell 5 at stride 8; the middle of cell 16 is its corner
    boxes = around(MIDDLES, 8)
    boxes[16] = [8, 8, 16, 24]  # half too high
    place, target = assigned(0.5, boxes, real)
    assert np.flatnonzero(place == 0).tolist() == [5, 16]
    assert target[5] == 1
    assert target[16] == pytest.approx(0.5**6, rel=1e-5)


def test_score_and_overlap_decide_together() -> None:
    real = [0, 0, 32, 32]
    boxes = np.tile(np.float32([0, 0, 32, 16]), (20, 1))  # all of the same IoU of 0.5
    scores = np.linspace(0.05, 1, 20, dtype=np.float32)
    place, target = assigned(scores, boxes, real)
    assert np.flatnonzero(place == 0).tolist() == list(range(20 - CELLS_A_BOX, 20))
    np.testing.assert_allclose(target[place == 0], 0.5 * scores[-CELLS_A_BOX:], rtol=1e-5)


def test_an_object_smaller_than_a_cell_has_a_cell_at_every_stride() -> None:
    real = [9, 10, 11, 11]  # no cell's middle lies in it
    place, target = assigned(0.5, around(MIDDLES, 4), real)
    assert np.flatnonzero(place == 0).tolist() == [5, 16]
    # (10, 10.5) is nearer to (12, 12) than to (8, 8), whose square does not reach it.
    assert target[5] == pytest.approx(max(1 / 17, LEAST_TARGET))
    assert 0 < target[16] < 1e-3


def test_an_object_that_no_box_overlaps_is_learned_all_the_same() -> None:
    place, target = assigned(0.5, np.zeros((20, 4)), [8, 8, 24, 24])
    assert np.flatnonzero(place == 0).tolist() == [5, 6, 9, 10, 16, 17, 18, 19]
    np.testing.assert_allclose(target[place == 0], LEAST_TARGET, rtol=1e-5)


def test_of_two_overlapping_objects_a_cell_learns_the_one_that_it_overlaps_most() -> None:
    large, small = [0, 0, 32, 32], [8, 8, 24, 24]
    boxes = np.tile(np.float32(large), (20, 1))
    boxes[[5, 10]] = small
    for real, numbers in (([large, small], (0, 1)), ([small, large], (1, 0))):
        place, target = assigned(0.5, boxes, real)
        assert np.flatnonzero(place == numbers[1]).tolist() == [5, 10]
        assert 5 not in np.flatnonzero(place == numbers[0])
        assert (place == numbers[0]).sum() >= CELLS_A_BOX - 2
        assert target[5] == target[10] == target[0] == 1


def test_no_object_no_targets() -> None:
    place, target = assigned(0.5, around(MIDDLES, 8), [[8, 8, 16, 16], [0, 0, 32, 32]], [0, 0])
    assert not target.any()
    assert (place == -1).all()


def test_no_gradient_flows_through_an_assignment() -> None:
    import tensorflow as tf

    boxes = tf.Variable(around(MIDDLES, 9)[None])
    real = np.float32([[[8, 8, 16, 16]]])
    with tf.GradientTape() as tape:
        scores = tf.reduce_sum(boxes)[None, None, None] * tf.ones((1, 1, 20))
        found = task_aligned(scores, boxes, MIDDLES, STRIDES, real, np.ones((1, 1), np.float32))
        total = tf.reduce_sum(found.target)
    assert tape.gradient(total, boxes) is None


def twin(scores, boxes, real, valid):
    """Return place and target of each cell, a cell and a box at a time."""
    cells, most = len(STRIDES), len(real)
    chosen, alignment, overlap = {}, np.zeros((most, cells)), np.zeros((most, cells))
    for n in [n for n in range(most) if valid[n]]:
        inside = []
        for c in range(cells):
            overlap[n, c] = iou(boxes[c], real[n])
            alignment[n, c] = scores[n, c] * overlap[n, c] ** 6 + FAINT
            center, sides = (real[n, :2] + real[n, 2:]) / 2, real[n, 2:] - real[n, :2]
            if all(abs(MIDDLES[c] - center) <= np.maximum(sides, STRIDES[c]) / 2):
                inside.append(c)
        for c in sorted(inside, key=lambda c: -alignment[n, c])[:CELLS_A_BOX]:
            if c not in chosen or overlap[n, c] > overlap[chosen[c], c]:
                chosen[c] = n
    place, target = np.full(cells, -1), np.zeros(cells)
    for c, n in chosen.items():
        own = [d for d, m in chosen.items() if m == n]
        best = max(max(overlap[n, d] for d in own), LEAST_TARGET)
        place[c] = n
        target[c] = alignment[n, c] / max(alignment[n, d] for d in own) * best
    return place, target


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_plain_twins(seed: int) -> None:
    random = np.random.default_rng(seed)
    sides = random.uniform(2, 30, (4, 2))
    low = random.uniform(0, 32 - sides)
    real = np.concatenate([low, low + sides], -1).astype(np.float32)
    reach = random.uniform(1, 16, (20, 4)).astype(np.float32)
    boxes = np.concatenate([MIDDLES - reach[:, :2], MIDDLES + reach[:, 2:]], -1)
    scores = random.random((4, 20)).astype(np.float32)
    valid = np.float32([1, 1, 1, 0])
    place, target = assigned(scores, boxes, real, valid)
    place_of_twin, target_of_twin = twin(scores, boxes, real, valid)
    np.testing.assert_array_equal(place, place_of_twin)
    np.testing.assert_allclose(target, target_of_twin, rtol=1e-4, atol=1e-9)
