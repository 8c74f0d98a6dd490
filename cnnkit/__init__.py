"""Convolutional networks for images, on the command line and in Python.

The public names are imported when they are first used, so that ``import cnnkit`` loads no
library and changes nothing in the process.
"""

import os
import sys


def _is_our_command_line() -> bool:
    """Return whether this process is ``cnnkit`` or ``python -m cnnkit``."""
    if sys.argv[:1] == ["-m"]:  # so it is called while the package of `-m` is being imported
        return sys.orig_argv[-len(sys.argv)] in ("cnnkit", "-mcnnkit")
    return bool(sys.argv) and os.path.basename(sys.argv[0]) in ("cnnkit", "cnnkit.exe")


def _leave_out_the_current_folder() -> None:
    """Take the current folder off the path of imports, unless cnnkit itself lies there.

    ``python -m`` and an empty entry in ``PYTHONPATH`` put it there, and in a folder of photos a
    stranger's ``json.py`` would run. Nothing but `os` and `sys`, which Python itself has loaded,
    may be imported before this.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        here = {"", ".", os.getcwd()} - {own}
    except OSError:  # the folder is gone
        return
    sys.path[:] = [folder for folder in sys.path if folder not in here]


if _is_our_command_line():  # a program that imports cnnkit keeps its path
    _leave_out_the_current_folder()

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from cnnkit.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from cnnkit.classification import Classifier
    from cnnkit.commands.augment import augment
    from cnnkit.commands.classify import classify
    from cnnkit.commands.cluster_faces import cluster_faces
    from cnnkit.commands.convert_boxes import convert_boxes
    from cnnkit.commands.convolve import (
        compare_matrices,
        convolve,
        convolve_matrix,
        learn_filter,
    )
    from cnnkit.commands.dedupe import dedupe
    from cnnkit.commands.detect import detect
    from cnnkit.commands.doctor import doctor
    from cnnkit.commands.evaluate import evaluate
    from cnnkit.commands.experiment import experiment_residual
    from cnnkit.commands.explain import explain
    from cnnkit.commands.export import export
    from cnnkit.commands.identify import identify
    from cnnkit.commands.image_dataset import image_dataset
    from cnnkit.commands.import_model import import_model
    from cnnkit.commands.merge import merge
    from cnnkit.commands.models import list_models, model_card, verify_models
    from cnnkit.commands.network import list_networks, network
    from cnnkit.commands.networks import build, load_keras
    from cnnkit.commands.search import search
    from cnnkit.commands.serve import serve
    from cnnkit.commands.shapes import shapes
    from cnnkit.commands.stylize import stylize
    from cnnkit.commands.train_detector import train_detector
    from cnnkit.commands.train_face import train_face
    from cnnkit.commands.train_style import train_style
    from cnnkit.commands.training import TrainedModel
    from cnnkit.commands.transfer_learn import transfer_learn
    from cnnkit.commands.verify_face import verify_claim, verify_images
    from cnnkit.commands.verify_pairs import verify_pairs
    from cnnkit.commands.visualize import (
        visualize_activations,
        visualize_dream,
        visualize_filters,
        visualize_patches,
    )
    from cnnkit.detection import Detector
    from cnnkit.errors import CnnkitError, ImageError
    from cnnkit.explanation import Explainer, Explanation
    from cnnkit.faces import FaceEmbedder, FaceVerifier, ImageFaces
    from cnnkit.faces.gallery import Gallery, Identification, IdentifiedImage
    from cnnkit.folder_job import Summary
    from cnnkit.results import (
        Classification,
        Detection,
        Detections,
        Face,
        FaceMatch,
        Failure,
        Prediction,
    )
    from cnnkit.style.stylizer import StylizedImage, Stylizer

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
    "Identification",
    "IdentifiedImage",
    "ImageError",
    "ImageFaces",
    "Prediction",
    "StylizedImage",
    "Stylizer",
    "Summary",
    "TrainedModel",
    "__version__",
    "augment",
    "build",
    "classify",
    "cluster_faces",
    "compare_matrices",
    "convert_boxes",
    "convolve",
    "convolve_matrix",
    "dedupe",
    "detect",
    "doctor",
    "evaluate",
    "experiment_residual",
    "explain",
    "export",
    "identify",
    "image_dataset",
    "import_model",
    "learn_filter",
    "list_models",
    "list_networks",
    "load_keras",
    "merge",
    "model_card",
    "network",
    "search",
    "serve",
    "shapes",
    "stylize",
    "train_detector",
    "train_face",
    "train_style",
    "transfer_learn",
    "verify_claim",
    "verify_images",
    "verify_models",
    "verify_pairs",
    "visualize_activations",
    "visualize_dream",
    "visualize_filters",
    "visualize_patches",
]

_HOMES = {
    "Classification": "cnnkit.results",
    "Classifier": "cnnkit.classification",
    "CnnkitError": "cnnkit.errors",
    "Explainer": "cnnkit.explanation",
    "Explanation": "cnnkit.explanation",
    "Detection": "cnnkit.results",
    "Detections": "cnnkit.results",
    "Detector": "cnnkit.detection",
    "Face": "cnnkit.results",
    "FaceEmbedder": "cnnkit.faces",
    "FaceMatch": "cnnkit.results",
    "FaceVerifier": "cnnkit.faces",
    "Failure": "cnnkit.results",
    "Gallery": "cnnkit.faces.gallery",
    "Identification": "cnnkit.faces.gallery",
    "IdentifiedImage": "cnnkit.faces.gallery",
    "ImageError": "cnnkit.errors",
    "ImageFaces": "cnnkit.faces",
    "Prediction": "cnnkit.results",
    "augment": "cnnkit.commands.augment",
    "build": "cnnkit.commands.networks",
    "convert_boxes": "cnnkit.commands.convert_boxes",
    "dedupe": "cnnkit.commands.dedupe",
    "doctor": "cnnkit.commands.doctor",
    "StylizedImage": "cnnkit.style.stylizer",
    "Stylizer": "cnnkit.style.stylizer",
    "Summary": "cnnkit.folder_job",
    "TrainedModel": "cnnkit.commands.training",
    "classify": "cnnkit.commands.classify",
    "convolve": "cnnkit.commands.convolve",
    "convolve_matrix": "cnnkit.commands.convolve",
    "compare_matrices": "cnnkit.commands.convolve",
    "learn_filter": "cnnkit.commands.convolve",
    "visualize_activations": "cnnkit.commands.visualize",
    "visualize_dream": "cnnkit.commands.visualize",
    "visualize_filters": "cnnkit.commands.visualize",
    "visualize_patches": "cnnkit.commands.visualize",
    "evaluate": "cnnkit.commands.evaluate",
    "export": "cnnkit.commands.export",
    "image_dataset": "cnnkit.commands.image_dataset",
    "import_model": "cnnkit.commands.import_model",
    "merge": "cnnkit.commands.merge",
    "load_keras": "cnnkit.commands.networks",
    "train_detector": "cnnkit.commands.train_detector",
    "train_face": "cnnkit.commands.train_face",
    "train_style": "cnnkit.commands.train_style",
    "transfer_learn": "cnnkit.commands.transfer_learn",
    "detect": "cnnkit.commands.detect",
    "explain": "cnnkit.commands.explain",
    "stylize": "cnnkit.commands.stylize",
    "cluster_faces": "cnnkit.commands.cluster_faces",
    "experiment_residual": "cnnkit.commands.experiment",
    "list_networks": "cnnkit.commands.network",
    "network": "cnnkit.commands.network",
    "search": "cnnkit.commands.search",
    "serve": "cnnkit.commands.serve",
    "shapes": "cnnkit.commands.shapes",
    "verify_claim": "cnnkit.commands.verify_face",
    "verify_images": "cnnkit.commands.verify_face",
    "list_models": "cnnkit.commands.models",
    "model_card": "cnnkit.commands.models",
    "verify_models": "cnnkit.commands.models",
    "identify": "cnnkit.commands.identify",
    "verify_pairs": "cnnkit.commands.verify_pairs",
}


if not TYPE_CHECKING:  # a type checker would take every name for a public one

    def __getattr__(name: str) -> Any:
        """Import a public name from its own module and keep it here."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
