"""Classification: name the pictures of a folder, and measure how well."""

from __future__ import annotations

from cnnkit.classify.classifier import DEFAULT_MODEL, Classifier
from cnnkit.classify.evaluation import evaluate
from cnnkit.classify.folders import classify_folders

__all__ = ["DEFAULT_MODEL", "Classifier", "classify_folders", "evaluate"]
