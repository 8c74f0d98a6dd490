"""Transfer learning: from labelled pictures to a model bundle that the user owns.

A frozen backbone gives each picture's features once, a head is trained on them in seconds,
and a bundle is written that ``cnnkit classify --model BUNDLE`` uses with no other flag.
"""

from __future__ import annotations

from cnnkit.transfer.backbone import Backbone, open_backbone
from cnnkit.transfer.head import Head, HeadSearch, search_head
from cnnkit.transfer.learning import transfer_learn
from cnnkit.transfer.outcome import Outcome
from cnnkit.transfer.settings import Settings

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
