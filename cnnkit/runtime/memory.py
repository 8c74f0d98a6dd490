"""How much memory this process has and may still take."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

# Where a container's limit and its use stand: version 2 of control groups, then version 1.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int | None:
    """Return how many bytes can be taken without swapping, or None if nobody tells."""
    found = [value for value in (_system_available(), _container_available()) if value is not None]
    return min(found) if found else None


def resident_memory() -> int | None:
    """Return how many bytes of this process lie in memory now, or None if nobody tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return peak_memory()


def peak_memory() -> int | None:
    """Return the most bytes of this process that lay in memory at once, or None."""
    try:
        import resource
    except ImportError:  # no such thing on this system
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
