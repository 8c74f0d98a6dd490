"""How much memory this process uses, and how much is available to it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NamedTuple


class _Group(NamedTuple):
    """Where a container's memory is counted.

    Attributes:
        limit: The file of the most it may use.
        used: The file of what it uses.
        statistics: The file of what for.
        swap: The files of limit and usage with swap.
        swap_alone: Whether those are of swap alone, or of both together.
    """

    limit: str
    used: str
    statistics: str
    swap: tuple[str, str]
    swap_alone: bool


MEMORY = "/proc/meminfo"
V2, V1 = "/sys/fs/cgroup/memory.", "/sys/fs/cgroup/memory/memory."
# Control groups version 2, then version 1.
GROUPS = (
    _Group(f"{V2}max", f"{V2}current", f"{V2}stat", (f"{V2}swap.max", f"{V2}swap.current"), True),
    _Group(
        *(f"{V1}limit_in_bytes", f"{V1}usage_in_bytes", f"{V1}stat"),
        (f"{V1}memsw.limit_in_bytes", f"{V1}memsw.usage_in_bytes"),
        False,
    ),
)
# Of the statistics: files that were read, whose memory is given to whoever asks for it.
_CACHES = ("inactive_file", "active_file")


def available_memory(*, swapping: bool = False) -> int | None:
    """Return the number of bytes available, or None if unknown.

    Args:
        swapping: Whether swap counts, of the systems that tell.
    """
    both = _system_available(swapping), _container_available(swapping)
    found = [value for value in both if value is not None]
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


def _system_available(swapping: bool) -> int | None:
    with contextlib.suppress(OSError, ValueError, LookupError):
        return _told("MemAvailable:") + (_told("SwapFree:") if swapping else 0)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container_available(swapping: bool) -> int | None:
    for group in GROUPS:
        with contextlib.suppress(OSError, ValueError):
            taken = _number(group.used) - _cached(group.statistics)
            free = max(0, _number(group.limit) - max(0, taken))  # "max" is no number
            return free + _swap_left(group) if swapping else free
    return None


def _swap_left(group: _Group) -> int:
    """Return how many bytes a container may still swap: no more than the system has."""
    left = 0
    with contextlib.suppress(OSError, ValueError, LookupError):
        left = _told("SwapFree:")
        most, swapped = map(_number, group.swap)  # without a limit the system's is the one
        own = most - swapped
        if not group.swap_alone:
            own -= _number(group.limit) - _number(group.used)
        left = max(0, min(left, own))
    return left


def _told(name: str) -> int:
    """Return a number of the system's, in bytes."""
    lines = Path(MEMORY).read_text(encoding="ascii").splitlines()
    return int(dict(line.split(maxsplit=1) for line in lines)[name].split()[0]) * 1024


def _number(file: str) -> int:
    return int(Path(file).read_text(encoding="ascii"))


def _cached(statistics: str) -> int:
    """Return how many bytes of a container's usage are files that were read, 0 if unknown.

    The usage counts them, unlike the system's own available memory: a container that has read many
    images would seem to have none.
    """
    counts: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in Path(statistics).read_text(encoding="ascii").splitlines():
            name, count = line.split()
            counts[name] = int(count)
    # Version 1 counts the groups below apart, as the usage does together.
    return sum(counts.get(f"total_{name}", counts.get(name, 0)) for name in _CACHES)
