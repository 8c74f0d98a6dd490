"""Photos that lie on their side: found, described as the upright ones, and said."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.faces import FaceEmbedder, FaceVerifier, ImageFaces, distances
from cnnkit.faces.turning import find_in_any_orientation, turned_back, turned_words
from cnnkit.results import Face, Failure


class OneWhitePixel:
    """Finds the white pixel as a face, in images that are wider than high, and counts."""

    sure = 0.99

    def __init__(self, score: float = 0.995) -> None:
        self.looked, self.score = 0, score

    def find_all(self, images):
        self.looked += len(images)
        return [self._find(image) for image in images]

    def _find(self, image):
        [[y, x]] = np.argwhere(image[..., 0] == 255)
        if x >= y:
            return []
        marks = tuple((float(x), float(y)) for _ in range(5))
        return [Face((float(x), float(y), x + 1.0, y + 1.0), self.score, marks)]


@pytest.mark.parametrize("place", [(1, 3), (2, 6), (0, 4)])
def test_places_come_back_to_where_they_are(place):
    image = np.zeros((5, 8, 3), np.uint8)
    image[place] = 255
    [[face]] = find_in_any_orientation(OneWhitePixel(), [image])
    y, x = place
    assert face.turned in (90, 180, 270)
    assert face.landmarks == ((x, y),) * 5
    assert face.xyxy == (x, y, x + 1, y + 1)


def test_each_quarter_by_hand():
    marks = ((0.0, 0.0), (2.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    face = Face((1.0, 0.0, 3.0, 2.0), 0.9, marks)  # in the turned image of a 10 x 20 one
    one, two, three = (turned_back(face, 10, 20, quarters) for quarters in (1, 2, 3))
    assert (one.xyxy, one.landmarks[1], one.turned) == ((18, 1, 20, 3), (18, 2), 270)
    assert (two.xyxy, two.landmarks[1], two.turned) == ((17, 8, 19, 10), (17, 8), 180)
    assert (three.xyxy, three.landmarks[1], three.turned) == ((0, 7, 2, 9), (1, 7), 90)


def test_only_images_without_an_upright_face_are_turned_and_only_by_a_sure_one():
    upright = np.zeros((5, 8, 3), np.uint8)
    upright[4, 3] = 255
    lying = np.ascontiguousarray(np.rot90(upright))
    detector = OneWhitePixel()
    [[face]] = find_in_any_orientation(detector, [upright])
    assert (detector.looked, face.turned) == (1, 0)
    find_in_any_orientation(detector, [upright, lying])
    assert detector.looked == 1 + 2 + 3
    assert find_in_any_orientation(OneWhitePixel(0.98), [lying]) == [[]]
    [[unsure]] = find_in_any_orientation(OneWhitePixel(0.98), [upright])
    assert unsure.turned == 0  # kept, where no turn shows a sure one


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_lying_photo_is_described_like_the_upright_one(
    embedder: FaceEmbedder, astronaut: np.ndarray, astronaut_faces: ImageFaces, quarters: int
) -> None:
    [lying] = embedder.predict([np.rot90(astronaut, quarters)])
    assert isinstance(lying, ImageFaces)
    assert [face.turned for face in lying.faces] == [(0, 90, 180, 270)[quarters]]
    assert (lying.height, lying.width) == np.rot90(astronaut, quarters).shape[:2]
    apart = float(distances(lying.embeddings, astronaut_faces.embeddings, "euclidean")[0, 0])
    assert apart < 0.1
    assert lying.faces[0].to_dict()["turned"] == lying.faces[0].turned
    assert "turned" not in astronaut_faces.faces[0].to_dict()
    assert "after turning it by" in turned_words(lying.faces)
    assert turned_words(astronaut_faces.faces) == ""


def test_what_has_no_face_has_none_however_it_is_turned(embedder: FaceEmbedder, examples) -> None:
    outcome = FaceVerifier(embedder).compare(
        *embedder.predict([examples / "coffee.jpg"] * 2), "a", "b"
    )
    assert isinstance(outcome, Failure) and outcome.kind == "no-face"
    assert "however the image is turned" in outcome.message
