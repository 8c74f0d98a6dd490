"""Imports albumentations: late, quietly, and without its version check on a server."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from cnnkit.runtime.process import keep_home_clean


@cache
def import_albumentations() -> ModuleType:
    """Import albumentations without its check for a newer version on a server.

    Returns:
        The module ``albumentations``.
    """
    keep_home_clean()
    import albumentations

    return albumentations
