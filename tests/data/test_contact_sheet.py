from __future__ import annotations

import numpy as np
import pytest

from cnnkit.data.augment import Augmenter
from cnnkit.data.box_files import Boxes
from cnnkit.data.contact_sheet import CELL, GAP, MARGIN, TITLE, SheetImage, contact_sheet
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import UsageError
from tests.data.images import scene


def cell(sheet, row: int, column: int, row_height: int) -> np.ndarray:
    left, top = MARGIN + column * (CELL + GAP), TITLE + row * row_height
    return np.asarray(sheet)[top : top + CELL, left : left + CELL]


def test_the_original_comes_first_then_the_draws_in_rows() -> None:
    images = [
        SheetImage("a.jpg", scene(1, 480, 480)),
        SheetImage("b.jpg", scene(2, 100, 100)),
    ]
    augmenter = Augmenter(read_recipe("light"), seed=4)
    sheet = contact_sheet(images, augmenter, 3)
    row_height = (sheet.height - TITLE - MARGIN + GAP) // 2
    assert sheet.width == 2 * MARGIN + 4 * CELL + 3 * GAP
    shrunk = cell(sheet, 0, 0, row_height)
    difference = np.abs(shrunk.astype(int) - scene(1, 240, 240)).mean()
    assert difference < 4
    for epoch in range(3):
        expected = augmenter(shrunk, epoch, 0)
        np.testing.assert_array_equal(cell(sheet, 0, epoch + 1, row_height), expected)
    assert (cell(sheet, 1, 0, row_height) != shrunk).any()


def test_many_draws_are_broken_into_rows() -> None:
    sheet = contact_sheet([SheetImage("a", scene(1))], Augmenter(read_recipe("none")), 15)
    assert sheet.width == 2 * MARGIN + 8 * CELL + 7 * GAP
    assert sheet.height > TITLE + 2 * CELL


def test_boxes_are_drawn_where_they_are() -> None:
    boxes = Boxes(np.array([[100, 100, 300, 300]], np.float32), ("dog",))
    image = SheetImage("a", np.full((480, 480, 3), 10, np.uint8), boxes)
    sheet = contact_sheet([image], Augmenter(read_recipe("none")), 1)
    for column in (0, 1):
        bright = cell(sheet, 0, column, CELL).max(-1) > 150
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert (rows[0], rows[-1], columns[0], columns[-1]) == (50, 149, 50, 149)


def test_too_many_cells_are_refused() -> None:
    images = [SheetImage("a", scene(1))] * 64
    with pytest.raises(UsageError, match="at most 1024 cells"):
        contact_sheet(images, Augmenter(read_recipe("none")), 16)
