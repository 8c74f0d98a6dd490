"""Durations as users type them."""

from __future__ import annotations

import re

from cnnkit.errors import UsageError, broken_rule

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(text: str | None, option: str = "--time-budget") -> float | None:
    """Return a duration such as ``60s``, ``5m``, or ``90`` in seconds.

    Raises:
        UsageError: It is not a duration.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", text)
    if found is None:
        rule = "be a duration such as 60s or 5m"
        raise UsageError(broken_rule(option, rule, repr(text)))
    return float(found[1]) * UNITS[found[2] or ""]
