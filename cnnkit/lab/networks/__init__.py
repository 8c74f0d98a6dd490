"""What a network is made of, layer by layer: sizes, counts, receptive fields, drawings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["LayerRow", "read_network", "totals"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the catalog needs no library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("cnnkit.lab.networks.reading"), name)
