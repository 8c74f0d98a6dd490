"""Transfer learning: from labelled pictures to a model bundle that the user owns.

A frozen backbone gives each picture's features once, a head is trained on them in seconds,
and a bundle is written that ``cnnkit classify --model BUNDLE`` uses with no other flag.
"""

from __future__ import annotations

from cnnkit.classification.training.backbone import Backbone, open_backbone
from cnnkit.classification.training.head import Head, HeadSearch, search_head
from cnnkit.classification.training.learning import transfer_learn
from cnnkit.classification.training.outcome import Outcome
from cnnkit.classification.training.settings import Settings

__all__ = [
    "Backbone",
    "Head",
    "HeadSearch",
    "Outcome",
    "Settings",
    "open_backbone",
    "search_head",
    "transfer_learn",
]
