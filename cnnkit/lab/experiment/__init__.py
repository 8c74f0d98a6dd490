"""Experiments that show what a course says, small enough for two processors in some minutes."""

from __future__ import annotations

from cnnkit.lab.experiment.images import ImageSet
from cnnkit.lab.experiment.residual import Curve, ExperimentSettings, Verdict, run, verdict

__all__ = ["Curve", "ExperimentSettings", "ImageSet", "Verdict", "run", "verdict"]
