"""Where a command writes a file, checked before the work begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cnnkit.errors import UsageError, broken_rule
from cnnkit.writers.replacing import check_writable

PAGES = (".html", ".htm")


def target_file(
    name: str,
    given: str | os.PathLike[str] | None,
    suffixes: Sequence[str] = (),
    *,
    overwrite: bool,
    endings: str = "",
) -> Path | None:
    """Return the path of a file to write, None for none or an empty one.

    Args:
        name: The parameter that names it, in backticks.
        given: The path.
        suffixes: The suffixes that the file may have, in lower case; any by default.
        overwrite: Whether an existing file may be overwritten.
        endings: The suffixes as a message names them; the first one by default.

    Raises:
        UsageError: It has another suffix, is a folder, lies in none, or exists and must not be
            overwritten.
        OutputError: Its folder is not writable.
    """
    if not given:
        return None
    path = Path(given)
    if suffixes and path.suffix.lower() not in suffixes:
        raise UsageError(broken_rule(name, f"end in {endings or suffixes[0]}", path))
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(broken_rule(name, "be a file in an existing folder", path))
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use `overwrite=True` to overwrite it.")
    check_writable(path)
    return path


def target_page(report: str | os.PathLike[str] | None, overwrite: bool) -> Path | None:
    """Return the path of an HTML report, checked as `target_file` does; None for none."""
    return target_file("`report`", report, PAGES, overwrite=overwrite)


def check_page_suffix(report: Path) -> None:
    """Refuse a file for an HTML report that has another suffix.

    Raises:
        UsageError: It has.
    """
    if report.suffix.lower() not in PAGES:
        raise UsageError(broken_rule("`report`", f"end in {PAGES[0]}", report))
