from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.faces import FaceEmbedder
from cnnkit.faces.alignment import TEMPLATE, chip, similarity
from cnnkit.results import Face
from tests.faces.chip_golden import DETECTORS, GOLDEN, current

# Of dlib's 68-point mean face (image_transforms/interpolation.h): eyes as means of six points
# each, tip of the nose (30), corners of the mouth (48, 54); a chip is 25 + 100 p pixels.
MEAN_FACE = np.array(
    [
        (0.225659, 0.215990),
        (0.754761, 0.215990),
        (0.490127, 0.515625),
        (0.254149, 0.780233),
        (0.726104, 0.780233),
    ]
)

places = st.floats(-1000, 1000, allow_nan=False)


def test_the_template_is_dlibs_mean_face() -> None:
    np.testing.assert_allclose(TEMPLATE, 25 + 100 * MEAN_FACE, atol=2e-4)


@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), places, places)
def test_a_similarity_is_found_exactly(angle: float, scale: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = TEMPLATE @ turn.T + (x, y)
    found = similarity(TEMPLATE, target)
    np.testing.assert_allclose(found[:, :2], turn, atol=1e-6 * scale)
    np.testing.assert_allclose(found[:, 2], (x, y), atol=1e-3)


@given(st.lists(st.tuples(places, places), min_size=5, max_size=5))
def test_no_other_similarity_is_nearer(points: list[tuple[float, float]]) -> None:
    source = np.array(points)
    if np.ptp(source, axis=0).max() < 1:
        return
    found = similarity(source, TEMPLATE)
    error = ((source @ found[:, :2].T + found[:, 2] - TEMPLATE) ** 2).sum()
    for change in ((0.01, 0, 0, 0), (0, 0.01, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        a, b, x, y = change
        other = found + np.array([[a, -b, x], [b, a, y]])
        worse = ((source @ other[:, :2].T + other[:, 2] - TEMPLATE) ** 2).sum()
        assert worse >= error - 1e-6 * max(1, error)


def test_one_point_five_times_is_refused() -> None:
    with pytest.raises(ValueError, match="two different points"):
        similarity(np.ones((5, 2)), TEMPLATE)


def drawn(scale: float, angle: float, shift: tuple[float, float]) -> tuple[np.ndarray, Face]:
    """An image with a smooth blob at each landmark, and where they are."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    marks = TEMPLATE @ turn.T + shift
    rows, columns = np.indices((700, 800))
    light = sum(
        np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (4 * scale) ** 2)) for x, y in marks
    )
    image = np.repeat((255 * np.minimum(1, light)).astype(np.uint8)[..., None], 3, axis=2)
    points = tuple((float(x), float(y)) for x, y in marks)
    return image, Face((0.0, 0.0, 1.0, 1.0), 0.99, points)


@pytest.mark.parametrize(
    ("scale", "angle", "shift"),
    [(1, 0, (40, 30)), (0.6, 0.4, (200, 50)), (2.7, -0.3, (50, 150)), (3.3, 0.1, (60, 20))],
)
def test_landmarks_fall_on_the_template(scale: float, angle: float, shift: tuple) -> None:
    image, face = drawn(scale, angle, shift)
    made = chip(image, face)
    assert made.shape == (150, 150, 3)
    for x, y in TEMPLATE:
        left, top = int(x) - 12, int(y) - 12
        part = made[top : top + 25, left : left + 25, 0].astype(float)
        part = np.where(part > 60, part, 0)
        moments = cv2.moments(part)
        found = (left + moments["m10"] / moments["m00"], top + moments["m01"] / moments["m00"])
        assert np.hypot(found[0] - x, found[1] - y) < 0.5


def test_what_lies_beyond_the_image_is_black() -> None:
    image = np.full((120, 120, 3), 200, np.uint8)
    points = tuple((float(x) - 60, float(y)) for x, y in TEMPLATE)  # its left part is cut off
    made = chip(image, Face((0.0, 0.0, 100.0, 100.0), 1.0, points))
    assert not made[:, :58].any()
    assert (made[:110, 62:145] == 200).all()


@pytest.mark.parametrize("detector", DETECTORS)
def test_chips_are_what_their_alignment_stands_for(detector: str, astronaut: np.ndarray) -> None:
    """Detection and cropping may change only together with the name that galleries keep."""
    golden = json.loads(GOLDEN.read_text())
    told = (
        "Faces are found or cut otherwise than {} does. Is that meant? Then give the constant "
        "(that of the detector or WHOLE_IMAGE) a new name, so that galleries made before are "
        "refused, and run `python -m tests.faces.chip_golden`."
    )
    found = current(FaceEmbedder.load(detector, min_face=40), astronaut)
    assert len(found) == 4
    for name, one in found.items():
        other = golden[name]
        assert one["alignment"] == other["alignment"], "run `python -m tests.faces.chip_golden`"
        for what, most in (("landmarks", 0.1), ("cells", 1), ("eye", 3)):
            apart = np.abs(np.array(one[what]) - np.array(other[what]))
            assert apart.max(initial=0) <= most, told.format(other["alignment"])
