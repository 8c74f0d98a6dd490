"""Where a report goes, checked before the work begins."""

from __future__ import annotations

import os
from pathlib import Path

from cnnkit.errors import UsageError, broken_rule


def report_target(report: str | os.PathLike[str] | None, overwrite: bool) -> Path | None:
    """Return the path of a report, None if none is wanted.

    Raises:
        UsageError: It is no HTML file, or exists and must not be overwritten.
    """
    if report is None:
        return None
    path = Path(report)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(broken_rule("`report`", "end in .html", path))
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use `overwrite=True` to overwrite it.")
    return path
