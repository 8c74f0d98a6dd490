"""Learning a similarity of faces: triplets, or a logistic unit on |f(a) - f(b)|."""

from __future__ import annotations

from cnnkit.faces.training.learning import learn_faces
from cnnkit.faces.training.outcome import TrainedEmbedder
from cnnkit.faces.training.settings import EmbedderSettings

__all__ = ["EmbedderSettings", "TrainedEmbedder", "learn_faces"]
