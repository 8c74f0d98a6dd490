"""Learning a similarity of faces: triplets, or a logistic unit on |f(a) - f(b)|."""

from __future__ import annotations

from cnnkit.faces.training.learning import train_face
from cnnkit.faces.training.outcome import Outcome
from cnnkit.faces.training.settings import Settings

__all__ = ["Outcome", "Settings", "train_face"]
