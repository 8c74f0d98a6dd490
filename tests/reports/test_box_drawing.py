"""Drawn boxes: where they are, in which colors, and labels inside the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.reports.box_drawing import DrawnBox, color_of, draw_boxes

GRAY = np.full((600, 800, 3), 128, np.uint8)


def test_the_frame_is_where_the_box_is() -> None:
    image = np.asarray(draw_boxes(GRAY, [DrawnBox((100, 200, 300, 400), "", 3)]))
    assert tuple(image[200, 150]) == color_of(3)
    assert tuple(image[399, 299]) == color_of(3)
    assert tuple(image[300, 200]) == (128, 128, 128)
    assert tuple(image[400, 300]) == (128, 128, 128)


def test_labels_do_not_cover_each_other() -> None:
    same = [DrawnBox((100, 200, 300, 400), f"thing {n}", n) for n in range(6)]
    image = np.asarray(draw_boxes(GRAY, same))
    for n in range(6):
        assert (image == color_of(n)).all(axis=2).sum() > 500


@pytest.mark.parametrize(("size", "drawn"), [((40, 80), (240, 480)), ((600, 800), (600, 800))])
def test_a_small_image_is_enlarged_so_that_labels_can_be_read(size, drawn) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    box = DrawnBox((10, 10, 30, 30), "person 91%", 0)
    assert draw_boxes(pixels, [box]).size == drawn[::-1]
    assert draw_boxes(pixels, [box], labels=False).size == size[::-1]
    assert draw_boxes(pixels, []).size == size[::-1]


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.lists(st.tuples(*[st.floats(-50, 1000)] * 4), max_size=4),
)
def test_any_box_on_any_image_is_drawn(height: int, width: int, corners: list) -> None:
    found = [DrawnBox(one, "a label 9%", n) for n, one in enumerate(corners)]
    image = draw_boxes(np.zeros((height, width, 3), np.uint8), found)
    assert image.width * height == image.height * width


def test_colors_are_told_apart() -> None:
    colors = np.array([color_of(n) for n in range(80)])
    assert len(np.unique(colors, axis=0)) == 80
    steps = np.abs(np.diff(colors.astype(int), axis=0)).sum(1)
    assert steps.min() > 100
