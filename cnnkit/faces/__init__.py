"""Faces: finding, comparing and recognising people, and learning a similarity of faces."""

from __future__ import annotations

from cnnkit.faces.detection import FaceDetector, Search
from cnnkit.faces.embedding import FaceEmbedder, PictureFaces
from cnnkit.faces.pair_files import verify_listed_pairs
from cnnkit.faces.thresholds import Verification, distances
from cnnkit.faces.verifying import FaceVerifier

__all__ = [
    "FaceDetector",
    "FaceEmbedder",
    "FaceVerifier",
    "PictureFaces",
    "Search",
    "Verification",
    "distances",
    "verify_listed_pairs",
]
