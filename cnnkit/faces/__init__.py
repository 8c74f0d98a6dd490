"""Faces: finding, comparing and recognising people, and learning a similarity of faces."""

from __future__ import annotations

from cnnkit.faces.detection import FaceDetector, Search
from cnnkit.faces.embedding import FaceEmbedder, PictureFaces
from cnnkit.faces.thresholds import Verification, distances

__all__ = [
    "FaceDetector",
    "FaceEmbedder",
    "PictureFaces",
    "Search",
    "Verification",
    "distances",
]
