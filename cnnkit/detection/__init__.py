"""Detection: find the objects in the images of a folder."""

from __future__ import annotations

from cnnkit.detection.detector import DEFAULT_MODEL, Detector
from cnnkit.detection.selection import Selection

__all__ = ["DEFAULT_MODEL", "Detector", "Selection"]
