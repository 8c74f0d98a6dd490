"""Made-up people for the tests: vectors that lie together person by person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnkit.faces.gallery import (
    EmbedderRecord,
    GalleryFile,
    GallerySettings,
    NewPhoto,
    content_digest,
)

DIMENSIONS = 128
EMBEDDER = EmbedderRecord("test-face", "0" * 64, "five-points-1", DIMENSIONS)
SETTINGS = GallerySettings(EMBEDDER, threshold=0.6, margin=0.04, midpoint=0.6, slope=20.0)
# scrypt's cost in tests: the real one takes half a second.
CHEAP = 1 << 10


def vector(person: int, photo: int = 0, spread: float = 0.02) -> np.ndarray:
    """Return a person's vector in a photo, float32 (128,), of length near 1.4."""
    center = np.random.default_rng(person).normal(size=DIMENSIONS)
    noise = np.random.default_rng((person, photo)).normal(size=DIMENSIONS)
    return (1.4 * center / np.linalg.norm(center) + spread * noise).astype(np.float32)


def photo(name: str, person: int, number: int = 0, path: str | None = None) -> NewPhoto:
    """Return a photo of a person, its content made of the two numbers."""
    content = content_digest(f"{person}/{number}".encode())
    return NewPhoto(name, content, vector(person, number), path)


def secret(text: str = "correct horse"):
    """Return what gives a passphrase."""
    return lambda: text.encode()


def make(path: Path, people: int = 3, photos: int = 2, passphrase=None) -> Path:
    """Make a gallery of people called person-0 and so on."""
    with GalleryFile.create(path, SETTINGS, passphrase, cost=CHEAP) as gallery:
        gallery.add(
            [
                photo(f"person-{p}", p, n, f"person-{p}/{n}.jpg")
                for p in range(people)
                for n in range(photos)
            ]
        )
    return path
