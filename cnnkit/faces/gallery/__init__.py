"""Galleries: enrolled people in one file that is safe to keep, to share and to receive.

with Gallery.create("team.gallery") as gallery:
    gallery.enroll("people/")
with Gallery.load("team.gallery") as gallery:
    gallery.predict("party.jpg").names     # ["Ann", "unknown"]
"""

from __future__ import annotations

from cnnkit.faces.gallery.decision import Identification, IdentifiedImage, decide
from cnnkit.faces.gallery.gallery import Gallery
from cnnkit.faces.gallery.records import (
    EmbedderRecord,
    GallerySettings,
    NewPhoto,
    StoredPhoto,
    person_name,
)
from cnnkit.faces.gallery.search import FaceIndex, NearestPerson
from cnnkit.faces.gallery.store import GalleryFile, NewGalleryFile, content_digest

__all__ = [
    "EmbedderRecord",
    "FaceIndex",
    "Gallery",
    "GalleryFile",
    "GallerySettings",
    "Identification",
    "IdentifiedImage",
    "NearestPerson",
    "NewGalleryFile",
    "NewPhoto",
    "StoredPhoto",
    "content_digest",
    "decide",
    "person_name",
]
