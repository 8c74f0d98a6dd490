from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.bundles import open_model
from cnnkit.errors import BundleError, GalleryError, UsageError
from cnnkit.faces import FaceEmbedder, ImageFaces, Verification, distances
from cnnkit.faces.gallery.embedders import first_settings, record_of
from cnnkit.faces.gallery.store import GalleryFile
from cnnkit.images import Found
from cnnkit.results import Failure

# === Verdicts ===


def test_probability_by_hand() -> None:
    rule = Verification(threshold=0.6, steepness=20.0)
    assert rule.probability(0.6) == 0.5
    assert rule.probability(0.41) == pytest.approx(1 / (1 + np.exp(-3.8)))
    assert (rule.same(0.6), rule.same(0.6001)) == (True, False)
    assert rule.probability(0.0) == pytest.approx(1, abs=1e-5)
    assert 0 <= rule.probability(1e6) < 1e-300


@given(st.floats(0, 3), st.floats(0, 3))
def test_a_larger_distance_is_never_surer(one: float, other: float) -> None:
    rule = Verification(0.6, 20.0)
    near, far = sorted((one, other))
    assert rule.probability(near) >= rule.probability(far)
    assert rule.same(near) >= rule.same(far)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_threshold_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="`threshold` must lie above 0"):
        Verification(value, 20.0)


def test_a_card_without_a_verification_is_refused() -> None:
    with pytest.raises(BundleError, match="must have a verification"):
        Verification.of_card(open_model("mtcnn").card)


def test_distances_by_hand() -> None:
    some = np.array([[0.0, 0], [3, 4]], np.float32)
    np.testing.assert_allclose(distances(some, some), [[0, 5], [5, 0]])
    assert distances(some[:0], some).shape == (0, 2)


# === Embeddings ===


def test_the_identity_names_weights_and_alignment(embedder: FaceEmbedder) -> None:
    weights = open_model("dlib-face").card.weights["sha256"][:16]
    detector = open_model("yunet").card.weights["sha256"][:16]
    assert embedder.identity == f"dlib-face {weights} five-points-2 yunet:{detector}"


def test_a_gallery_of_another_alignment_or_detector_is_refused(
    embedder: FaceEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GalleryFile.create(tmp_path / "g", first_settings(embedder)) as gallery:
        gallery.check_embedder(record_of(embedder))
        monkeypatch.setitem(embedder.detector.bundle.card.weights, "sha256", "0" * 64)
        with pytest.raises(GalleryError, match="the identity"):
            gallery.check_embedder(record_of(embedder))
        monkeypatch.undo()
        monkeypatch.setattr(embedder.detector, "alignment", "five-points-0")
        with pytest.raises(GalleryError, match="the identity"):
            gallery.check_embedder(record_of(embedder))


def test_a_turned_relit_recompressed_copy_is_the_same_person(
    embedder: FaceEmbedder, astronaut: np.ndarray, astronaut_faces: ImageFaces
) -> None:
    turn = cv2.getRotationMatrix2D((220, 120), 12, 0.8)
    copy = cv2.warpAffine(astronaut, turn, (512, 512))
    copy = np.clip(copy * 0.7 + 15, 0, 255).astype(np.uint8)
    copy = cv2.imdecode(cv2.imencode(".jpg", copy, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
    (other,) = embedder.predict([copy])
    assert astronaut_faces.embeddings.shape == other.embeddings.shape == (1, 128)
    assert astronaut_faces.embeddings.dtype == np.float32
    assert distances(astronaut_faces.embeddings, other.embeddings)[0, 0] < 0.35


def test_a_mirrored_face_embeds_alike_when_both_sides_are_averaged(
    embedder: FaceEmbedder, astronaut: np.ndarray
) -> None:
    both = FaceEmbedder(embedder.detector, embedder.bundle, mirror=True)
    assert both.identity == f"{embedder.identity} mirror"
    chip = np.ascontiguousarray(astronaut[40:190, 145:295])
    one, turned = (both.embed_chips(c[None]) for c in (chip, chip[:, ::-1]))
    np.testing.assert_allclose(one, turned, atol=1e-5)
    assert np.abs(one - embedder.embed_chips(chip[None])).max() > 1e-3


def test_arrays_that_are_no_pixels_and_faces_of_another_image_are_refused(
    embedder: FaceEmbedder, astronaut: np.ndarray, astronaut_faces: ImageFaces
) -> None:
    """They ended in errors of OpenCV and OpenVINO, or in distances that meant nothing."""
    faces, small = astronaut_faces.faces, np.zeros((60, 80, 3), np.uint8)
    with pytest.raises(UsageError, match=r"`image` must be uint8 \(n, n, 3\)\. Received: float64"):
        embedder.cut(astronaut / 255, faces)
    with pytest.raises(UsageError, match=r"`faces` must be found in this image.*80 x 60 pixels"):
        embedder.embed(small, faces)
    for wrong in (small, np.zeros((1, 150, 150, 3)), small[None]):
        with pytest.raises(UsageError, match=r"`aligned` must be uint8 \(n, 150, 150, 3\)"):
            embedder.embed_chips(wrong)
    chips = embedder.cut(astronaut, faces)
    np.testing.assert_array_equal(embedder.embed_chips(chips), embedder.embed(astronaut, faces))


def test_the_stream_keeps_order_and_names_what_cannot_be_read(
    embedder: FaceEmbedder, examples: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes((examples / "astronaut.jpg").read_bytes()[:3000])
    names = [str(examples / "coffee.jpg"), str(torn), str(examples / "astronaut.jpg"), "missing"]
    found = list(embedder.stream([Found(name) for name in names], workers=2))
    assert [path for path, _ in found] == names
    assert found[0][1].faces == ()
    assert isinstance(found[1][1], Failure) and found[1][1].kind == "truncated"
    assert len(found[2][1].faces) == 1
    assert found[3][1].kind == "missing"


def test_float32_unless_asked_otherwise(embedder: FaceEmbedder) -> None:
    assert embedder.predictor.precision == "float32"


def test_in_int8_faces_are_found_in_float32_and_distances_stay(
    embedder: FaceEmbedder, astronaut: np.ndarray
) -> None:
    quantized = FaceEmbedder.load(precision="int8")
    assert quantized.predictor.precision.startswith("int8")
    chips = np.stack([astronaut[top : top + 150, 145:295] for top in (30, 40, 55)])
    one, other = (
        distances(e, e) for e in (each.embed_chips(chips) for each in (embedder, quantized))
    )
    assert 0 < np.abs(one - other).max() < 0.02
    assert quantized.find(astronaut) == embedder.find(astronaut)


def test_a_model_for_something_else_is_refused(embedder: FaceEmbedder) -> None:
    with pytest.raises(UsageError, match="must be a model for embed-face"):
        FaceEmbedder(embedder.detector, open_model("mtcnn"))


# === Real people ===


def test_same_people_below_and_others_above_the_threshold(
    embedder: FaceEmbedder, test_data: Path
) -> None:
    folder = test_data / "faces"
    paths = sorted([*folder.glob("gallery/*/*.jpg"), *folder.glob("probes/*.jpg")])
    people = {"johnsnow_test1": "jon", "obama1": "obama", "alex_lacamoire1": "alex_lacamoire"}
    names = [people.get(path.stem, path.parent.name) for path in paths]
    stream = embedder.stream(Found(str(path)) for path in paths)
    vectors = np.concatenate([faces.embeddings[:1] for _, faces in stream])
    apart = distances(vectors, vectors)
    same = np.array(names)[:, None] == np.array(names)[None]
    others = ~np.eye(len(names), dtype=bool)
    assert apart[same & others].max() < 0.55
    assert apart[~same].min() > 0.65


@pytest.mark.parametrize(
    ("name", "faces"), [("couple", 2), ("obama_and_biden", 3), ("selfie-many-people", 5)]
)
def test_every_face_of_the_groups_is_found(
    name: str, faces: int, embedder: FaceEmbedder, test_data: Path
) -> None:
    image = embedder.read(str(test_data / "faces" / "groups" / f"{name}.jpg"))
    assert len(embedder.find(image)) >= faces
