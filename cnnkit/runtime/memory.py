"""How much memory this process uses, and how much is available to it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

# Files of a container's limit and usage: control groups version 2, then version 1.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int | None:
    """Return the number of bytes available without swapping, or None if unknown."""
    found = [value for value in (_system_available(), _container_available()) if value is not None]
    return min(found) if found else None


def resident_memory() -> int | None:
    """Return the resident memory of this process in bytes, or None if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return peak_memory()


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes, or None if unknown."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _system_available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container_available() -> int | None:
    for limit, used in LIMITS:
        with contextlib.suppress(OSError, ValueError):
            most = int(Path(limit).read_text(encoding="ascii"))  # "max" is no number
            return max(0, most - int(Path(used).read_text(encoding="ascii")))
    return None
