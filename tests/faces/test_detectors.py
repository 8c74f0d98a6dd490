"""Which detector finds the faces: the one asked for, the embedder's own, the gallery's own."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cnnkit import Gallery
from cnnkit.bundles import Bundle, open_model
from cnnkit.cli import group
from cnnkit.errors import GalleryError, UsageError
from cnnkit.faces import FaceEmbedder, distances
from cnnkit.faces.embedding import DEFAULT_DETECTOR, FIRST_DETECTOR, detector_of
from cnnkit.faces.gallery.records import EmbedderRecord
from cnnkit.results import Failure

DETECTORS = ("mtcnn", "yunet")


def embedder_saying(**content: Any) -> Bundle:
    bundle = open_model("dlib-face")
    card = dataclasses.replace(bundle.card, content=bundle.card.content | content)
    return dataclasses.replace(bundle, card=card)


def test_an_embedder_names_its_detector() -> None:
    named = {"threshold": 0.6, "steepness": 9.0, "detector": "yunet"}
    assert detector_of(open_model("dlib-face")) == DEFAULT_DETECTOR
    assert detector_of(embedder_saying(verification=named, training={"seed": 0})) == "yunet"
    for other in ("../yunet", 7, ["yunet"], "dlib"):  # a card is a stranger's
        assert detector_of(embedder_saying(verification={"detector": other})) == DEFAULT_DETECTOR


def test_a_face_bundle_that_was_trained_before_keeps_mtcnn() -> None:
    assert FIRST_DETECTOR == "mtcnn"
    assert detector_of(embedder_saying(training={"command": "train-face"})) == "mtcnn"


@pytest.fixture(scope="module")
def embedders() -> dict[str, FaceEmbedder]:
    return {name: FaceEmbedder.load(name, precision="float32") for name in DETECTORS}


def test_detectors_have_their_own_scores_and_identities(embedders: dict[str, FaceEmbedder]) -> None:
    scores = {name: embedder.min_score for name, embedder in embedders.items()}
    assert scores == {"mtcnn": 0.9, "yunet": 0.71}
    assert FaceEmbedder.load("yunet", min_score=0.8).min_score == 0.8
    for name, embedder in embedders.items():
        assert f" {name}:" in embedder.identity


def test_both_detectors_describe_a_face_alike(
    embedders: dict[str, FaceEmbedder], examples: Path
) -> None:
    vectors = []
    for embedder in embedders.values():
        found = embedder.predict(examples / "astronaut.jpg")
        assert not isinstance(found, Failure) and len(found.faces) == 1
        vectors.append(found.embeddings)
    assert distances(*vectors)[0, 0] < 0.3


def test_a_gallery_keeps_its_detector_and_refuses_another(tmp_path: Path, examples: Path) -> None:
    name, other = "yunet", "mtcnn"
    path = tmp_path / "team.gallery"
    photo = shutil.copy(examples / "astronaut.jpg", tmp_path / "eileen.jpg")
    with Gallery.create(path, detector=name) as gallery:
        assert gallery.enroll(photo, name="Eileen")["added"] == 1
    with Gallery.load(path) as gallery:
        assert gallery.embedder.identity.split(" ")[3].startswith(f"{name}:")
    with pytest.raises(GalleryError, match="detector") as refused:
        Gallery.load(path, detector=other)
    assert "\n" not in str(refused.value)
    command = ["gallery", "identify", str(path), str(photo), "--format", "jsonl"]
    done = CliRunner().invoke(group, command)
    assert done.exit_code == 0 and '"Eileen"' in done.stdout


def record(identity: str) -> EmbedderRecord:
    return EmbedderRecord("dlib-face", identity, "five-points-1", 128)


def test_a_gallery_of_the_version_before_names_mtcnn() -> None:
    assert record("dlib-face 0123 five-points-1 mtcnn:f540ae3a7466dfac").detector == "mtcnn"
    assert record("dlib-face 0123 five-points-1 mtcnn:f540 mirror").detector == "mtcnn"
    assert record("digits 0123 whole-picture-1").detector is None
    assert record("something else altogether, of another form").detector is None


def test_train_face_knows_the_detectors(tmp_path: Path) -> None:
    from cnnkit import train_face

    with pytest.raises(UsageError, match="`detector` must be one of yunet, mtcnn"):
        train_face(tmp_path / "people", tmp_path / "out", detector="dlib-face")
