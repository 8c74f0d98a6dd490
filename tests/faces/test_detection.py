from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError
from cnnkit.faces import FaceDetector, FaceEmbedder, ImageFaces, Search, pyramid
from cnnkit.faces.candidates import crops, inside, moved, squared, suppressed
from cnnkit.faces.pyramid import canvases


@pytest.fixture(scope="module")
def embedder() -> FaceEmbedder:
    """One whose faces the cascade finds."""
    return FaceEmbedder.load("mtcnn", min_face=40)


@pytest.fixture(scope="module")
def astronaut_faces(embedder: FaceEmbedder, astronaut: np.ndarray) -> ImageFaces:
    return embedder.predict(astronaut)


# === Rectangles ===


def test_offsets_are_in_sides_of_the_rectangle() -> None:
    rectangles = np.array([[10.0, 20.0, 30.0, 60.0]])  # 20 wide, 40 high
    made = moved(rectangles, np.array([[0.1, -0.1, 0.5, 0.25]]))
    np.testing.assert_allclose(made, [[12, 16, 40, 70]])


def test_a_square_keeps_the_center_and_the_longer_side() -> None:
    np.testing.assert_array_equal(squared(np.array([[10.0, 20, 30, 60]])), [[0, 20, 40, 60]])


def test_suppression_by_hand() -> None:
    """IoU of the first two: 50 / 150; the third lies inside the first: 25 / 100 or 25 / 25."""
    boxes = np.array([[0.0, 0, 10, 10], [0, 5, 10, 15], [0, 0, 5, 5]])
    scores = np.array([0.9, 0.8, 0.7])
    assert suppressed(boxes, scores, 0.5).tolist() == [0, 1, 2]
    assert suppressed(boxes, scores, 0.3).tolist() == [0, 2]
    assert suppressed(boxes, scores, 0.7, of_smaller=True).tolist() == [0, 1]


def test_only_what_stays_suppresses() -> None:
    """The second goes because of the first, so it cannot take the third with it."""
    boxes = np.array([[0.0, 0, 10, 10], [0, 3, 10, 13], [0, 6, 10, 16]])
    assert suppressed(boxes, np.array([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


@given(st.integers(-30, 60), st.integers(-30, 60), st.integers(1, 40))
def test_a_crop_is_black_beyond_the_image(left: int, top: int, side: int) -> None:
    image = np.random.default_rng(1).integers(1, 256, (40, 50, 3), dtype=np.uint8)
    framed = cv2.copyMakeBorder(image, 80, 80, 80, 80, cv2.BORDER_CONSTANT)
    expected = framed[top + 80 : top + 80 + side, left + 80 : left + 80 + side]
    np.testing.assert_array_equal(inside(image, left, top, left + side, top + side), expected)
    cut = crops(image, np.array([[left, top, left + side, top + side]], float), side)
    np.testing.assert_array_equal(cut[0], expected)


# === Faces ===


def test_the_astronaut_is_found(astronaut_faces: ImageFaces) -> None:
    (face,) = astronaut_faces.faces
    left, top, right, bottom = face.xyxy
    assert 150 < left < 190 and 40 < top < 100 and 250 < right < 300 and 160 < bottom < 220
    eye, other, nose, mouth, corner = face.landmarks
    assert left < eye[0] < nose[0] < other[0] < right
    assert top < eye[1] < nose[1] < mouth[1] < bottom
    assert mouth[0] < nose[0] < corner[0]


def test_an_image_without_a_face_has_none(embedder: FaceEmbedder) -> None:
    plain = np.full((200, 300, 3), 90, np.uint8)
    assert embedder.find(plain) == []
    assert embedder.find(np.zeros((5, 5, 3), np.uint8)) == []
    assert embedder.embed(plain, []).shape == (0, 128)


def test_images_together_are_as_each_alone(
    embedder: FaceEmbedder, astronaut: np.ndarray, astronaut_faces: ImageFaces
) -> None:
    """An image without a face before another one moves no box."""
    plain = np.full((200, 300, 3), 90, np.uint8)
    first, second, third = embedder.predict([plain, astronaut, plain])
    assert first.faces == third.faces == ()
    assert np.allclose(second.faces[0].xyxy, astronaut_faces.faces[0].xyxy, atol=0.01)
    np.testing.assert_allclose(second.embeddings, astronaut_faces.embeddings, atol=1e-4)


@pytest.mark.parametrize("smallest", [24, 60, 100])
def test_the_smallest_face_does_not_lose_a_larger_one(smallest: int, astronaut: np.ndarray) -> None:
    detector = FaceDetector(open_model("mtcnn"), Search(min_face=smallest))
    (face,) = detector.find(astronaut)
    assert 80 < face.width < 140


def test_a_face_half_outside_of_the_image(embedder: FaceEmbedder, astronaut: np.ndarray) -> None:
    (face,) = embedder.find(np.ascontiguousarray(astronaut[:, 190:]))
    assert face.xyxy[0] < 10


def test_pieces_of_a_level_find_what_the_whole_finds(
    embedder: FaceEmbedder, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embedder.find(astronaut)
    monkeypatch.setattr(pyramid, "PIECE", 64)
    monkeypatch.setattr(pyramid, "MAX_CANVAS", 128)
    assert len(canvases(astronaut, 40)) > 3
    parts = embedder.find(astronaut)
    np.testing.assert_allclose(parts[0].xyxy, whole[0].xyxy, atol=0.01)


def test_a_canvas_gives_what_each_level_gives_alone(astronaut: np.ndarray) -> None:
    model = open_model("mtcnn").build(network_name="proposal")
    (canvas,) = canvases(astronaut, 60)
    together = np.asarray(model(canvas.paint()[None].astype(np.float32))["scores"])
    for piece, left, top in canvas.placed:
        alone = np.asarray(model(piece.pixels[None].astype(np.float32))["scores"])[0]
        rows, columns = alone.shape[:2]
        part = together[0, top // 2 : top // 2 + rows, left // 2 : left // 2 + columns]
        np.testing.assert_allclose(part, alone, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"min_face": 11}, "`min_face` must be at least 12 pixels"),
        ({"min_score": 1.0}, "`min_score` must be at least 0 and below 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(wrong: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Search(**wrong)


def test_a_model_for_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a model for find-face"):
        FaceDetector(open_model("dlib-face"))
