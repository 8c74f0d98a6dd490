"""Lengths of time, as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a length of time for people."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
