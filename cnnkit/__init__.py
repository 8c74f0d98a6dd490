"""Convolutional networks for pictures, on the command line and in Python.

The public names are imported when they are first used, so that ``import cnnkit`` loads no
library and changes nothing in the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.classify import Classifier
    from cnnkit.detect import Detector
    from cnnkit.errors import CnnkitError, ImageError
    from cnnkit.explain import Explainer, Explanation
    from cnnkit.faces import FaceEmbedder, FaceVerifier
    from cnnkit.faces.gallery import Gallery
    from cnnkit.results import (
        Classification,
        Detection,
        Detections,
        Face,
        FaceMatch,
        Failure,
        Prediction,
    )

__version__ = "0.1.0.dev0"

__all__ = [
    "Classification",
    "Classifier",
    "CnnkitError",
    "Detection",
    "Detections",
    "Detector",
    "Explainer",
    "Explanation",
    "Face",
    "FaceEmbedder",
    "FaceMatch",
    "FaceVerifier",
    "Failure",
    "Gallery",
    "ImageError",
    "Prediction",
    "__version__",
]

_HOMES = {
    "Classification": "cnnkit.results",
    "Classifier": "cnnkit.classify",
    "CnnkitError": "cnnkit.errors",
    "Explainer": "cnnkit.explain",
    "Explanation": "cnnkit.explain",
    "Detection": "cnnkit.results",
    "Detections": "cnnkit.results",
    "Detector": "cnnkit.detect",
    "Face": "cnnkit.results",
    "FaceEmbedder": "cnnkit.faces",
    "FaceMatch": "cnnkit.results",
    "FaceVerifier": "cnnkit.faces",
    "Failure": "cnnkit.results",
    "Gallery": "cnnkit.faces.gallery",
    "ImageError": "cnnkit.errors",
    "Prediction": "cnnkit.results",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its own module and keep it here."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
