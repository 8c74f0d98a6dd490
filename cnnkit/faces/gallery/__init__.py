"""Galleries: enrolled people in one file that is safe to keep, to share and to receive.

with Gallery.create("team.gallery", settings) as gallery:
    gallery.add([NewPhoto("ann", content_digest(file_bytes), vector)])
with Gallery.open("team.gallery") as gallery:
    index = gallery.index()
    decide(index, vector, gallery.settings)     # ann, or unknown and why
"""

from __future__ import annotations

from cnnkit.faces.gallery.decision import Identification, decide
from cnnkit.faces.gallery.records import (
    EmbedderRecord,
    NewPhoto,
    Settings,
    StoredPhoto,
    person_name,
)
from cnnkit.faces.gallery.search import FaceIndex, Match
from cnnkit.faces.gallery.store import Gallery, content_digest

__all__ = [
    "EmbedderRecord",
    "FaceIndex",
    "Gallery",
    "Identification",
    "Match",
    "NewPhoto",
    "Settings",
    "StoredPhoto",
    "content_digest",
    "decide",
    "person_name",
]
