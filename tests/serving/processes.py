"""What the system says of other processes."""

from __future__ import annotations

from pathlib import Path


def is_running(process: int) -> bool:
    """Return whether a process has not ended, reaped or not."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
