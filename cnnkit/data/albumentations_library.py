"""The one door to albumentations: imported late, quietly, and without asking a server."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from cnnkit.runtime.process import keep_home_clean


@cache
def import_albumentations() -> ModuleType:
    """Import albumentations; it would ask a server for its newest version otherwise.

    Returns:
        The module ``albumentations``.
    """
    keep_home_clean()
    import albumentations

    return albumentations
