"""Faces and descriptions beside those of the originals, on real photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.faces import FaceDetector, FaceEmbedder, Search
from cnnkit.faces.candidates import suppressed
from cnnkit.faces.levels import Halvings, level_pieces
from cnnkit.faces.yunet import decoded
from cnnkit.images import decode, read_bytes
from models.convert.dlib_face import SOURCE, dlib_embeddings
from models.convert.network_source import outputs_of
from models.convert.variables import network_with
from models.convert.yunet import SOURCE as YUNET

pytestmark = pytest.mark.peer
ROOT = Path(__file__).resolve().parents[2]
UNROUNDED, EMBEDDED = 1e-3, 5e-3  # how far a description may be from dlib's, Euclidean


@pytest.fixture(scope="module")
def chips(embedder: FaceEmbedder, test_data: Path) -> np.ndarray:
    """Aligned faces of real photos, uint8 (n, 150, 150, 3)."""
    cut = []
    for path in sorted((test_data / "faces").rglob("*.jpg")):
        image = embedder.read(str(path))
        cut.append(embedder.cut(image, embedder.find(image)))
    return np.concatenate(cut)


def test_descriptions_are_dlibs(chips: np.ndarray, embedder: FaceEmbedder, tmp_path: Path) -> None:
    dlib = pytest.importorskip("dlib")
    known = ROOT / ".artifacts"
    _, members = SOURCE.fetch(known if (known / SOURCE.artifact.file).exists() else tmp_path)
    (tmp_path / "network.dat").write_bytes(members["network"])
    network = dlib.face_recognition_model_v1(str(tmp_path / "network.dat"))
    original = dlib_embeddings(network, chips)
    exact = outputs_of(SOURCE, SOURCE.read_arrays(members), {"network": chips})
    apart = np.linalg.norm(exact["network/embedding"] - original, axis=1)
    assert apart.max() < UNROUNDED
    embedded = np.linalg.norm(embedder.embed_chips(chips) - original, axis=1)
    assert embedded.max() < EMBEDDED


def overlap(some: tuple, other: tuple) -> float:
    """Intersection over union of left, top, right, bottom."""
    sides = [min(some[i + 2], other[i + 2]) - max(some[i], other[i]) for i in (0, 1)]
    common = max(0, sides[0]) * max(0, sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (some, other)]
    return common / (sum(areas) - common)


def test_every_face_of_the_package_is_found(embedder: FaceEmbedder, test_data: Path) -> None:
    """With the package's own smallest face and threshold; landmarks within a tenth of the box."""
    mtcnn = pytest.importorskip("mtcnn")
    theirs = mtcnn.MTCNN()
    ours = FaceDetector(open_model("mtcnn"), Search(20, 0.7))
    compared = 0
    for path in sorted((test_data / "faces").rglob("*.jpg")):
        image = embedder.read(str(path))
        found = ours.find(image)
        for face in theirs.detect_faces(image):
            left, top, width, height = face["box"]
            box = (left, top, left + width, top + height)
            best = max(found, key=lambda one: overlap(one.xyxy, box))
            assert overlap(best.xyxy, box) > 0.6, path
            points = [face["keypoints"][name] for name in ("left_eye", "right_eye", "nose")]
            away = np.linalg.norm(np.array(best.landmarks[:3]) - points, axis=1)
            assert away.max() < 0.1 * max(width, height), path
            compared += 1
    assert compared >= 15


def test_first_looks_are_those_of_opencv(test_data: Path, tmp_path: Path) -> None:
    """FaceDetectorYN on the original file: the same boxes, scores and landmarks, unrounded."""
    known = ROOT / ".artifacts"
    _, members = YUNET.fetch(known if (known / YUNET.artifact.file).exists() else tmp_path)
    (tmp_path / "yunet.onnx").write_bytes(members["network"])
    model = network_with("yunet", YUNET.read_arrays(members))
    for path in sorted((test_data / "faces").rglob("*.jpg")):
        [piece, *_] = level_pieces(Halvings(decode(read_bytes(str(path)))), 0.25)
        theirs = cv2.FaceDetectorYN.create(str(tmp_path / "yunet.onnx"), "", (32, 32), 0.6, 0.3)
        theirs.setInputSize(piece.pixels.shape[1::-1])
        rows = theirs.detect(np.ascontiguousarray(piece.pixels[..., ::-1]))[1]
        found = decoded(outputs(model, piece.pixels), 0.6)
        found = found.take(suppressed(found.boxes, found.scores, 0.3))
        assert len(rows) == len(found.scores) > 0
        np.testing.assert_allclose(found.scores, rows[:, 14], atol=1e-4)
        np.testing.assert_allclose(found.boxes[:, :2], rows[:, :2], atol=0.02)
        np.testing.assert_allclose(found.boxes[:, 2:], rows[:, :2] + rows[:, 2:4], atol=0.02)
        np.testing.assert_allclose(found.marks.reshape(-1, 10), rows[:, 4:14], atol=0.02)


def outputs(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    found = model(pixels[None].astype(np.float32), training=False)
    return {name: np.asarray(value) for name, value in found.items()}
