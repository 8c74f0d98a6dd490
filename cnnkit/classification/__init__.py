"""Classification: name the images of a folder, and measure how well."""

from __future__ import annotations

from cnnkit.classification.classifier import DEFAULT_MODEL, Classifier
from cnnkit.classification.evaluation import evaluate
from cnnkit.classification.folders import classify_folders

__all__ = ["DEFAULT_MODEL", "Classifier", "classify_folders", "evaluate"]
