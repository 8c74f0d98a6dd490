"""Faces: finding, comparing and recognizing people, and learning a similarity of faces."""

from __future__ import annotations

from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.pair_files import verify_listed_pairs
from cnnkit.faces.searching import Search
from cnnkit.faces.thresholds import Verification, distances
from cnnkit.faces.verifying import FaceVerifier

__all__ = [
    "FaceDetector",
    "FaceEmbedder",
    "FaceVerifier",
    "ImageFaces",
    "Search",
    "Verification",
    "distances",
    "verify_listed_pairs",
]
