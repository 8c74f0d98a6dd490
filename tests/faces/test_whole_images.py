"""Embedders that take whole images, and verifications of another metric."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.faces import Verification, distances
from cnnkit.faces.whole_images import WholeImages
from cnnkit.reports.face_match import Marked, draw_faces


def test_the_whole_image_is_the_only_face():
    [face] = WholeImages().find_all([np.zeros((30, 60, 3), np.uint8)])[0]
    assert (face.xyxy, face.score) == ((0.0, 0.0, 60.0, 30.0), 1.0)
    assert all(0 < x < 60 and 0 < y < 30 for x, y in face.landmarks)


def test_manhattan_distances_by_hand():
    some, others = np.array([[0.0, 1.0]]), np.array([[3.0, -3.0], [0.0, 1.0]])
    np.testing.assert_array_equal(distances(some, others, "manhattan"), [[7.0, 0.0]])


@pytest.mark.parametrize("changes", [{"metric": "cosine"}, {"alignment": "box"}, {"metric": []}])
def test_what_no_embedder_has(changes):
    with pytest.raises(UsageError, match="must be one of"):
        Verification(0.6, 20.0, **changes)


def test_no_eyes_are_said_or_drawn_where_none_were_looked_for():
    image = np.full((48, 48, 3), 90, np.uint8)
    [face] = WholeImages().find(image)
    assert not face.looked_for and face.to_dict()["landmarks"] is None
    found = replace(face, looked_for=True)
    drawings = [draw_faces([Marked(image, (one,))], True, "same") for one in (face, found)]
    inner = [drawing[20:460, 20:460] for drawing in drawings]
    assert (inner[0] == 90).all() and not (inner[1] == 90).all()
