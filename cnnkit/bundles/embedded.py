"""The models that ship with cnnkit, found without importing any framework."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cnnkit.bundles.card import CARD


@cache
def store() -> Path:
    """Return the folder of the embedded models: the data package ``cnnkit_models``."""
    import cnnkit_models

    return Path(cnnkit_models.__path__[0])


def embedded_names() -> list[str]:
    """Return the names of the embedded models, sorted."""
    return sorted(card.parent.name for card in store().glob(f"*/{CARD}"))


def embedded_folder(name: str) -> Path:
    """Return the bundle folder of an embedded model, whose name must exist."""
    return store() / name
