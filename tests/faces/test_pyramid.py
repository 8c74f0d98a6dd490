from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.faces import pyramid
from cnnkit.faces.pyramid import FACTOR, canvases, pieces, scales


def an_image(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(height * 1000 + width)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_levels_go_from_the_smallest_face_to_the_whole_image() -> None:
    """100 pixels, faces from 40 on: windows of 40, 56.4, 79.6 and 112.2 pixels.

    The next one, 158 pixels, would reach beyond the image by more than a third of itself.
    """
    assert scales(100, 300, 40) == pytest.approx([12 / 40 * FACTOR**n for n in range(4)])
    assert scales(26, 300, 40) == []
    assert scales(27, 300, 40) == [12 / 40]


@given(st.integers(1, 400), st.integers(1, 400), st.integers(12, 100))
def test_levels_have_even_sides_that_hold_a_window(height: int, width: int, least: int) -> None:
    for piece in pieces(an_image(height, width), least):
        rows, columns = piece.pixels.shape[:2]
        assert rows % 2 == columns % 2 == 0
        assert min(rows, columns) >= 12


@given(st.integers(12, 300), st.integers(12, 300), st.integers(20, 150))
def test_a_canvas_holds_every_piece_once_and_unchanged(height: int, width: int, grain: int) -> None:
    image = an_image(height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "PIECE", 2 * grain)
        patch.setattr(pyramid, "MAX_CANVAS", 4 * grain)
        expected = list(pieces(image, 20))
        found = canvases(image, 20)
        placed = [entry for canvas in found for entry in canvas.placed]
        assert sorted(p[0][3:] for p in placed) == sorted(p[3:] for p in expected)
        for canvas in found:
            pixels = canvas.paint()
            assert pixels.shape[0] % 64 == pixels.shape[1] % 64 == 0
            taken = np.zeros(pixels.shape[:2], int)
            for piece, left, top in canvas.placed:
                rows, columns = piece.pixels.shape[:2]
                assert left % 2 == top % 2 == 0
                seen = pixels[top : top + rows, left : left + columns]
                np.testing.assert_array_equal(seen, piece.pixels)
                taken[top : top + rows, left : left + columns] += 1
            assert taken.max() == 1


@given(st.integers(12, 200), st.integers(12, 200))
def test_pieces_have_every_window_of_their_level_once(height: int, width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "PIECE", 40)
        windows: dict[int, list[tuple[int, int]]] = {}
        sizes: dict[int, tuple[int, int]] = {}
        for piece in pieces(an_image(height, width), 12):
            rows, columns = piece.pixels.shape[:2]
            windows.setdefault(piece.level, []).extend(
                (piece.top + row, piece.left + column)
                for row in range(0, rows - 11, 2)
                for column in range(0, columns - 11, 2)
            )
            assert piece.pixels.shape[0] <= 40
            low = sizes.get(piece.level, (0, 0))
            ends = (piece.top + rows, piece.left + columns)
            sizes[piece.level] = (max(low[0], ends[0]), max(low[1], ends[1]))
        for level, (rows, columns) in sizes.items():
            starts = [range(-4, side - 11, 2) for side in (rows, columns)]
            whole = [(r, c) for r in starts[0] for c in starts[1]]
            assert sorted(windows[level]) == whole


def test_a_huge_image_keeps_canvases_small() -> None:
    image = np.zeros((6000, 9000, 3), np.uint8)
    shapes = [canvas.paint().shape for canvas in canvases(image, 20)]
    assert len(shapes) > 5
    assert max(rows for rows, _, _ in shapes) <= pyramid.MAX_CANVAS
    assert max(columns for _, columns, _ in shapes) <= pyramid.PIECE
