"""The drawing of faces with a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.reports.face_match import UNTOLD, Marked, draw_faces
from cnnkit.results import Face

POINTS = ((20.0, 20.0), (30.0, 20.0), (25.0, 25.0), (20.0, 30.0), (30.0, 30.0))
GRAY = np.full((120, 160, 3), 128, np.uint8)


def face(left: float) -> Face:
    marks = tuple((x + left, y) for x, y in POINTS)
    return Face((left + 10, 10, left + 40, 45), 0.99, marks)


def test_every_face_is_marked_and_numbered() -> None:
    one = draw_faces([Marked(GRAY, [face(0)])], None, "cannot tell")
    two = draw_faces([Marked(GRAY, [face(0), face(80)])], None, "cannot tell")
    assert one.shape == two.shape == (480 + 44, 640, 3)
    assert (one[:480, 320:] == 128).all()
    assert (two[:480, 320:] != 128).any()
    # The number stands inside the box, where a single face has none: scaled by 4.
    inside = (slice(46, 70), slice(46, 70))
    assert (one[inside] == 128).all() and (two[inside] != 128).any()
    assert tuple(one[-2, -2]) == UNTOLD


def test_an_image_without_a_face_is_drawn_too() -> None:
    drawn = draw_faces([Marked(GRAY, []), Marked(GRAY, [face(0)])], None, "cannot tell")
    assert drawn.shape == (524, 640 + 8 + 640, 3)
    assert (drawn[:480, :640] == 128).all()


@pytest.mark.parametrize("words", ["a person " * 60, "x" * 400, "Ann: same person", ""])
def test_a_long_verdict_takes_more_lines(words: str) -> None:
    drawn = draw_faces([Marked(GRAY, [face(0)])], True, words)
    assert drawn.shape[1] <= 960
    assert (drawn.shape[0] > 524) == (len(words) > 100)
