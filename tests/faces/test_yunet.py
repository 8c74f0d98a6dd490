"""YuNet's decoding by hand, its sizes and pieces, and the faces of free photos."""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from cnnkit.bundles import Bundle, open_model
from cnnkit.errors import BundleError
from cnnkit.faces import FaceDetector, Search, levels
from cnnkit.faces.levels import Halvings, level_pieces
from cnnkit.faces.yunet import (
    CHANNELS,
    CLOSER_VIEW,
    HEADS,
    best_of_each,
    decoded,
    look_at,
    on_squares,
    view,
)
from cnnkit.images import decode, read_bytes
from cnnkit.results import Face
from cnnkit.runtime import RuntimeOptions


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(open_model("yunet"), options=RuntimeOptions(precision="float32"))


def overlap(some: Face, other: Face) -> float:
    """Intersection over union."""
    low, high = np.maximum(some.xyxy[:2], other.xyxy[:2]), np.minimum(some.xyxy[2:], other.xyxy[2:])
    common = np.maximum(high - low, 0).prod()
    areas = sum(float(np.prod(np.subtract(f.xyxy[2:], f.xyxy[:2]))) for f in (some, other))
    return float(common / (areas - common))


# === Decoding ===


def heads(rows: int = 2, columns: int = 3) -> dict[str, np.ndarray]:
    """Raw heads in which no cell holds a face."""
    sizes = {name: (rows * 32 // stride, columns * 32 // stride) for name, stride in HEADS.items()}
    return {name: np.full((1, *size, CHANNELS), -20, np.float32) for name, size in sizes.items()}


def test_decoding_by_hand() -> None:
    """Second row, third column of stride 16."""
    outputs = heads()
    raw = outputs["stride16"][0, 1, 2]
    raw[:2] = np.log(4), 0  # probabilities 0.8 and 0.5
    raw[2:6] = 0.5, 0.25, np.log(3), np.log(2)
    raw[6:] = np.arange(10) / 10
    found = decoded(outputs, 0.3)
    np.testing.assert_allclose(found.scores, [np.sqrt(0.4)], rtol=1e-6)
    x, y = 2.5 * 16, 1.25 * 16
    np.testing.assert_allclose(found.boxes, [[x - 24, y - 16, x + 24, y + 16]], rtol=1e-6)
    cells = [(2 + 0.2 * n, 1 + 0.2 * n + 0.1) for n in range(5)]
    np.testing.assert_allclose(found.marks[0], np.multiply(cells, 16), rtol=1e-6)
    assert len(decoded(outputs, 0.7).scores) == 0


def test_a_box_beyond_all_bounds_stays_a_number() -> None:
    outputs = heads()
    outputs["stride8"][...] = 1e30
    found = decoded(outputs, 0.5)
    assert np.isfinite(found.boxes[:, 2:] - found.boxes[:, :2]).all()


def test_a_head_with_other_channels_is_refused() -> None:
    outputs = heads() | {"stride8": np.zeros((1, 8, 12, 15), np.float32)}
    with pytest.raises(BundleError, match="stride8 must give 16 channels"):
        decoded(outputs, 0.5)


def test_a_closer_look_has_the_face_in_its_middle() -> None:
    halvings = Halvings(np.zeros((400, 400, 3), np.uint8))
    look = look_at(halvings, np.array([100.0, 50, 130, 90]), 32)
    np.testing.assert_array_equal(look.square, [55, 10, 175, 130])  # 40 pixels seen as 32
    np.testing.assert_allclose(look.place, [36, 32, 60, 64])
    small = look_at(halvings, np.array([10.0, 20, 15, 25]), 32)
    assert np.ptp(small.square[::2]) == np.ptp(small.square[1::2]) == 15
    assert CLOSER_VIEW == 96


def test_the_best_that_overlaps_counts_for_each_look() -> None:
    outputs = {name: np.repeat(raw, 3, axis=0) for name, raw in heads(3, 3).items()}
    outputs["stride16"][:2, 3, 3] = [20, 20, 0, 0, np.log(2), np.log(2), *[0] * 10]
    outputs["stride32"][0, 0, 0] = [30, 30, 0, 0, 0, 0, *[0] * 10]  # better, but elsewhere
    faces = best_of_each(outputs, np.array([[32.0, 32, 64, 64], [0, 0, 20, 20]]))
    assert faces.scores == pytest.approx([1, 0], abs=1e-6)
    np.testing.assert_allclose(faces.boxes[0], [32, 32, 64, 64])
    np.testing.assert_allclose(faces.marks[0], np.full((5, 2), 48.0))
    square = np.array([[55.0, 10, 175, 130]])  # a pixel of the look is 1.25 of the image
    back = on_squares(faces.take(np.array([0])), square)
    np.testing.assert_allclose(back.boxes, [[95, 50, 135, 90]])
    np.testing.assert_allclose(back.marks[0, 0], (48.5 * 1.25 - 0.5 + 55, 48.5 * 1.25 - 0.5 + 10))


@pytest.mark.parametrize(
    "box", [(90, 40, 120, 75), (71, 33, 288, 251), (150, 60, 401, 310), (-40, -60, 301, 333)]
)
@pytest.mark.parametrize("side", [32, 48])
def test_a_view_shows_what_lies_in_its_square(box: tuple, side: int) -> None:
    """Light that grows to the right and downwards: each pixel tells where it was seen."""
    rows, columns = np.indices((401, 503))
    light = np.stack([(columns + 0.5) * 0.5, (rows + 0.5) * 0.6, 0 * rows], axis=2)
    image = (light + np.random.default_rng(0).uniform(0, 1, light.shape)).astype(np.uint8)
    look, negative = (
        look_at(Halvings(i), np.array(box, float), side) for i in (image, 255 - image)
    )
    seen = view(look).astype(float)
    unbiased = (seen + 255 - view(negative)) / 2  # means of four are rounded up
    left, top, right, bottom = look.square
    assert look.times == int(np.log2(max(1, (right - left) / CLOSER_VIEW)))
    x = left + (np.arange(CLOSER_VIEW) + 0.5) * (right - left) / CLOSER_VIEW
    y = top + (np.arange(CLOSER_VIEW) + 0.5) * (bottom - top) / CLOSER_VIEW
    margin = 2 << look.times
    within_x = (x > margin) & (x < 503 - margin)
    within_y = (y > margin) & (y < 401 - margin)
    shown = unbiased[within_y][:, within_x]
    # Half a pixel of what was halved once is half a level.
    for channel, light in enumerate((0.5 * x[within_x], 0.6 * y[within_y][:, None])):
        away = shown[..., channel] - light
        assert np.abs(away).max() < 1.5 and abs(away.mean()) < 0.1
    assert not seen[y < -margin].any() and not seen[:, x < -margin].any()


def test_a_view_of_a_panorama_or_beyond_all_bounds_is_one() -> None:
    halvings = Halvings(np.full((300, 70_000, 3), 200, np.uint8))
    inside = view(look_at(halvings, np.array([66_000.0, 100, 66_120, 220]), 48))
    assert inside[40:56].min() == 200
    for box in ([-9e5, -9e5, 9e5, 9e5], [9e5, 9e5, 9.1e5, 9.1e5]):
        assert view(look_at(halvings, np.array(box), 32)).shape == (96, 96, 3)
    thin = Halvings(np.full((1, 900, 3), 200, np.uint8))
    assert view(look_at(thin, np.array([0.0, 0, 9e5, 9e5]), 32)).shape == (96, 96, 3)


def test_looks_of_many_faces_fill_their_batches(
    detector: FaceDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one face gets does not depend on how many there are; calls have one shape."""
    closer = detector._finder._closer
    shapes, predict = [], closer.predict

    def recorded(images: np.ndarray) -> dict[str, np.ndarray]:
        shapes.append(images.shape)
        return predict(images)

    monkeypatch.setattr(closer, "predict", recorded)
    alone = detector.find(astronaut)
    assert shapes == [(4, CLOSER_VIEW, CLOSER_VIEW, 3)]
    shapes.clear()
    assert detector.find_all([astronaut] * 5) == [alone] * 5
    assert shapes == [(4, CLOSER_VIEW, CLOSER_VIEW, 3)] * 3


# === Sizes and pieces ===


@pytest.mark.parametrize(
    ("size", "min_face", "scales"),
    [
        ((480, 640), 40, [1]),
        ((300, 200), 12, [1]),
        ((640, 640), 40, [1, 1 / 4]),
        ((3000, 4000), 300, [0.16]),
        ((3000, 4000), 40, [0.35, 0.35 / 4]),
        ((9000, 12000), 12, [1, 1 / 4, 1 / 16, 1 / 64]),
    ],
)
def test_sizes_of_an_image(size: tuple, min_face: int, scales: list[float]) -> None:
    found = levels.levels(*size, min_face)
    np.testing.assert_allclose([level.scale for level in found], scales)
    # A face that is too large for one size is large enough for the next.
    for fine, coarse in itertools.pairwise(found):
        assert coarse.least / coarse.scale < fine.largest / fine.scale
    assert found[0].least == 0 and found[-1].largest == np.inf


def test_halves_are_means_of_four_and_leave_out_odd_lines() -> None:
    image = np.random.default_rng(1).integers(0, 256, (11, 14, 3), np.uint8)
    halvings = Halvings(image)
    assert halvings.at(0) is image and halvings.at(1) is halvings.at(1)
    assert [halvings.at(times).shape for times in (1, 2, 3)] == [(5, 7, 3), (2, 3, 3), (1, 1, 3)]
    means = image[:10].reshape(5, 2, 7, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(halvings.at(1), means, atol=0.5)
    with pytest.raises(ValueError, match="`times`"):
        halvings.at(4)
    towards = {(11, 14): 0, (6, 7): 0, (5, 7): 1, (5, 8): 0, (1, 1): 3, (2, 1): 2}
    assert {size: halvings.towards(*size) for size in towards} == towards


def test_a_reduced_level_lies_where_the_image_does() -> None:
    """Odd sides, halved twice: a bright square is found where it is, to a third of a pixel."""
    image = np.zeros((1001, 1403, 3), np.uint8)
    image[600:760, 1100:1300] = 255
    [piece] = level_pieces(Halvings(image), 0.22)
    light = piece.pixels[..., 0].astype(float) / 255
    moments = cv2.moments(light)
    x = (moments["m10"] / moments["m00"] + 0.5) / piece.scale_x
    y = (moments["m01"] / moments["m00"] + 0.5) / piece.scale_y
    assert abs(x - 1200) < 0.3 and abs(y - 680) < 0.3


def test_every_place_is_owned_by_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "PIECE", 64)
    monkeypatch.setattr(levels, "OVERLAP", 32)
    image = np.arange(150 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(150, 100, 3)
    owners = np.zeros((150, 100), int)
    for piece in level_pieces(Halvings(image), 1.0):
        left, top, right, bottom = piece.core
        rows, columns = np.indices(owners.shape)
        x, y = columns - piece.left, rows - piece.top
        owners += (x >= left) & (x < right) & (y >= top) & (y < bottom)
        part = image[piece.top : piece.top + 64, piece.left : piece.left + 64]
        np.testing.assert_array_equal(piece.pixels[: len(part), : part.shape[1]], part)
        assert max(piece.pixels.shape) <= 64
    assert (owners == 1).all()


def test_pieces_find_what_the_whole_finds(
    detector: FaceDetector, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    [whole] = detector.find(astronaut)
    monkeypatch.setattr(levels, "PIECE", 320)
    monkeypatch.setattr(levels, "OVERLAP", 192)
    [face] = detector.find(astronaut)
    assert overlap(face, whole) > 0.9
    np.testing.assert_allclose(face.landmarks, whole.landmarks, atol=3)


# === Faces ===


def test_the_astronaut_is_found(detector: FaceDetector, astronaut: np.ndarray) -> None:
    [face] = detector.find(astronaut)
    left, top, right, bottom = face.xyxy
    assert 150 < left < 195 and 40 < top < 100 and 250 < right < 300 and 160 < bottom < 220
    eye, other, nose, mouth, corner = face.landmarks
    assert left < eye[0] < nose[0] < other[0] < right
    assert top < eye[1] < nose[1] < mouth[1] < bottom
    assert mouth[0] < nose[0] < corner[0]
    assert detector.search.min_score < detector.sure < face.score < 1


@pytest.mark.parametrize("scale", [0.15, 0.37, 3.0])
def test_a_face_of_any_size_lies_where_it_is(
    detector: FaceDetector, astronaut: np.ndarray, scale: float
) -> None:
    """Of 17 pixels, and in a photo that is looked at in two sizes."""
    size = tuple(round(side * scale) for side in astronaut.shape[1::-1])
    image = cv2.resize(astronaut, size, interpolation=cv2.INTER_AREA)
    small = FaceDetector(open_model("yunet"), Search(12)) if scale < 0.3 else detector
    [face], [whole] = small.find(image), detector.find(astronaut)
    away = np.subtract(face.landmarks, (np.array(whole.landmarks) + 0.5) * scale - 0.5)
    assert np.abs(away).max() < 0.05 * whole.height * scale


def test_photos_of_different_shapes_together_are_as_each_alone(
    detector: FaceDetector, astronaut: np.ndarray
) -> None:
    plain = np.full((200, 300, 3), 90, np.uint8)
    wide = np.concatenate([plain, astronaut[40:240, 100:400]], axis=1)
    together = detector.find_all([plain, astronaut, wide, np.zeros((3, 5, 3), np.uint8)])
    assert [len(faces) for faces in together] == [0, 1, 1, 0]
    assert together[1] == detector.find(astronaut) and together[2] == detector.find(wide)


def test_smaller_faces_than_are_wanted_are_left_out(astronaut: np.ndarray) -> None:
    assert FaceDetector(open_model("yunet"), Search(300)).find(astronaut) == []


def test_what_is_no_face_has_none(detector: FaceDetector, examples) -> None:
    for name in ("cat.jpg", "coffee.jpg", "rocket.jpg"):
        assert detector.find(decode(read_bytes(str(examples / name)))) == []


# === Cards ===


def with_finder(entry: object) -> Bundle:
    bundle = open_model("yunet")
    card = dataclasses.replace(bundle.card, content=bundle.card.content | {"finder": entry})
    return dataclasses.replace(bundle, card=card)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"kind": "yunet"}, "a kind, a min_score and a sure"),
        ([], "a kind, a min_score and a sure"),
        ({"kind": "other", "min_score": 0.5, "sure": 0.9}, "of kind cascade or yunet"),
        ({"kind": "yunet", "min_score": 0.9, "sure": 0.5}, "0 <= min_score <= sure <= 1"),
        ({"kind": "yunet", "min_score": float("nan"), "sure": 0.5}, "min_score <= sure"),
    ],
)
def test_a_card_with_another_finder_is_refused(entry: object, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        FaceDetector(with_finder(entry))


def test_the_networks_of_a_cascade_are_not_yunet() -> None:
    bundle, finder = open_model("mtcnn"), open_model("yunet").card.content["finder"]
    card = dataclasses.replace(bundle.card, content=bundle.card.content | {"finder": finder})
    with pytest.raises(BundleError, match="one network with the outputs stride8"):
        FaceDetector(dataclasses.replace(bundle, card=card))
