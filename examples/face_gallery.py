"""Enrol two people, name the faces of new photos, and forget one of them.

The photos are made of one free image: a face squeezed to half its height is another face.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery import Gallery, NewPhoto, content_digest, decide
from cnnkit.faces.gallery.embedders import first_settings, record_of
from cnnkit.images import decode, read_bytes

IMAGE = Path(__file__).parent / "images" / "astronaut.jpg"

eileen = decode(read_bytes(str(IMAGE)))
eva = cv2.resize(eileen, None, fx=1.0, fy=0.5)
embedder = FaceEmbedder.load()


def described(photo: np.ndarray) -> np.ndarray:
    """Return the embedding of the largest face of a photo."""
    return embedder.predict(photo).embeddings[0]


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "team.gallery"
    with Gallery.create(path, first_settings(embedder)) as gallery:
        for name, photo in (("Eileen", eileen), ("Eva", eva)):
            gallery.add([NewPhoto(name, content_digest(photo.tobytes()), described(photo))])

    with Gallery.open(path) as gallery:
        gallery.check_embedder(record_of(embedder))
        index = gallery.index()
        darker = (eileen * 0.7).astype(np.uint8)
        for what, photo in (("a darker photo", darker), ("a mirrored one", eva[:, ::-1])):
            found = decide(index, described(np.ascontiguousarray(photo)), gallery.settings)
            print(f"{what}: {found.name}, {found.probability:.0%} sure")
        gallery.forget(["Eva"])
        found = decide(gallery.index(), described(eva), gallery.settings)
        print(f"after Eva is forgotten: {found.name} ({found.reason})")
