"""Heat maps on images: geometry, boxes, looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.explanation.heat import Region, box_around, normalized, on_image, overlay, spread
from cnnkit.explanation.occlusion import occluded_heat
from cnnkit.images import InputSpec, prepare

WHOLE = Region(0, 0, 100, 80)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_place_of_the_input_is_the_same_place_of_the_image(fit):
    spec = InputSpec(32, 32, fit)
    image = np.zeros((90, 140, 3), np.uint8)
    image[40:50, 60:75] = 255
    bright = prepare(image, spec)[..., 0] > 200
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    inside = Region(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    left, top, right, bottom = on_image(inside, 90, 140, spec)
    pixel = 140 / 32
    assert abs(left - 60) <= pixel and abs(right - 75) <= pixel
    assert abs(top - 40) <= pixel and abs(bottom - 50) <= pixel


def test_the_box_encloses_the_heat_around_the_peak_only():
    heat = np.zeros((10, 10))
    heat[2:4, 3:6] = [[0.5, 1.0, 0.5], [0.5, 0.5, 0.1]]
    heat[8, 8] = 0.9  # apart
    left, top, right, bottom = box_around(heat, WHOLE, 80, 100, share=0.45)
    assert (round(left, -1), round(right, -1)) == (30, 60)
    assert (round(top / 8), round(bottom / 8)) == (2, 4)
    assert box_around(np.zeros((5, 5)), WHOLE, 80, 100) is None
    assert box_around(-np.ones((5, 5)), WHOLE, 80, 100) is None


@given(
    st.integers(1, 9), st.integers(1, 9), st.floats(-50, 50), st.floats(-50, 50), st.floats(0.05, 1)
)
def test_a_box_always_lies_in_the_image(rows, columns, left, top, share):
    heat = np.random.default_rng(rows * 10 + columns).random((rows, columns)) + 0.01
    region = Region(left, top, left + 120, top + 120)
    box = box_around(heat, region, 80, 100, share)
    assert box is None or (0 <= box[0] < box[2] <= 100 and 0 <= box[1] < box[3] <= 80)


def test_a_box_has_at_least_a_pixel_of_the_image_or_is_none():
    heat = np.zeros((7, 7))
    heat[1, 1] = heat[5, 5] = 1
    # A line of 5,000 pixels, stretched; the first peak wins.
    left, top, right, bottom = box_around(heat, Region(0, 0, 5000, 1), 1, 5000, 0.9)
    assert (top, bottom) == (0, 1) and 700 < left < right < 1500
    assert box_around(heat, Region(0, 0.4, 5000, 0.6), 1, 5000, 0.9)[1::2] == (0, 1)
    # The same line in the middle of a square: the peak lies in the padding.
    assert box_around(heat, Region(0, -2500, 5000, 2500), 1, 5000, 0.9) is None


def test_a_map_is_laid_over_its_region_and_nowhere_else():
    whole = spread(np.ones((2, 2), np.float32), Region(10, -5, 30, 15), 40, 50)
    assert np.isfinite(whole[:15, 10:30]).all() and np.isnan(whole[15:]).all()
    assert np.isnan(whole[:, :10]).all() and np.isnan(whole[:, 30:]).all()


def test_cold_places_stay_and_unseen_places_darken():
    image = np.full((40, 50, 3), 200, np.uint8)
    heat = np.zeros((4, 5), np.float32)
    heat[1, 1] = 1
    shown = overlay(image, heat, Region(0, 0, 25, 40))
    assert (shown[35, 20] == 200).all() and (shown[20, 40] < 100).all()
    assert (shown[15, 7] != 200).any()
    assert (image == 200).all()


def test_normalized():
    assert normalized(np.array([[-1.0, 0.5, np.nan]])).tolist() == [[0, 1, 0]]
    assert normalized(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_occlusion_of_a_score_that_is_known():
    """Brightness of one cell: hiding it costs (255 - 127) of it, in every patch that hides it."""
    image = np.zeros((28, 28, 3), np.uint8)
    image[8:10, 4:6] = 255

    def score(batch):
        return batch[:, 8:10, 4:6].mean(axis=(1, 2, 3)).astype(float)

    heat = occluded_heat(image, score)
    assert heat.shape == (14, 14)
    assert heat[4, 2] == pytest.approx(128) and heat.argmax() == 4 * 14 + 2
    # Two of the patches that hide a neighbor hide the cell as well.
    assert heat[4, 3] == pytest.approx(64) and heat[5, 3] == pytest.approx(32)
    assert heat[4, 4] == heat[0, 0] == 0
