"""Folder jobs on several machines: a plan of all inputs, workers that each take shards of it.

The machine that runs the command keeps everything that a run leaves: the plan and the finished
shards lie in ``FILE.parts``, and the rows enter the journal in input order, as if they were made
here. Workers only read images and return rows, so that any of them may be lost at any time.
"""

from __future__ import annotations

from cnnkit.cluster.engine import Cluster, EngineChoice
from cnnkit.cluster.worker import OpenedModel

__all__ = ["Cluster", "EngineChoice", "OpenedModel"]
