"""One detector and embedder for all tests of faces, and the astronaut's face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.faces import FaceEmbedder, ImageFaces
from cnnkit.images import decode, read_bytes


@pytest.fixture(scope="session")
def embedder() -> FaceEmbedder:
    return FaceEmbedder.load(min_face=40)


@pytest.fixture(scope="session")
def astronaut(examples: Path) -> np.ndarray:
    return decode(read_bytes(str(examples / "astronaut.jpg")))


@pytest.fixture(scope="session")
def astronaut_faces(embedder: FaceEmbedder, astronaut: np.ndarray) -> ImageFaces:
    return embedder.predict(astronaut)
