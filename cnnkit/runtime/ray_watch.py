"""Ends what is left of a Ray cluster whose command was killed; runs in a process of its own.

    python -m cnnkit.runtime.ray_watch FOLDER PID

Ray's agents outlive a command that ends without ending Ray. This process holds the other end of a
pipe of the command: it gets a byte from one that ends in good order, and nothing from a killed one.
Then it ends the processes of the cluster and removes its folder. It remembers them while they
run, by the system's table of processes; where there is no such table (``/proc``), only the folder
goes.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
from pathlib import Path

# Seconds between two looks at the processes: agents begin with their cluster, workers at any time.
LOOK = 1.0


def main() -> None:
    """Wait for the command to end."""
    folder, parent = sys.argv[1], int(sys.argv[2])
    seen = cluster_processes(folder, parent, {})
    while not select.select([0], [], [], LOOK)[0]:
        seen |= cluster_processes(folder, parent, seen)
    if os.read(0, 1):
        return
    for pid, started in seen.items():
        if process_table().get(pid, ("", 0))[0] == started:  # not another one by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def process_table() -> dict[int, tuple[str, int]]:
    """Return when each process started, in the kernel's ticks, and its parent."""
    table = {}
    for pid in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            # After the name, which may hold anything: state, parent, ..., start as the 20th.
            fields = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            continue
        table[int(pid)] = (fields[19], int(fields[1]))
    return table


def cluster_processes(folder: str, parent: int, seen: dict[int, str]) -> dict[int, str]:
    """Return the processes of a cluster, by number with their start.

    Args:
        folder: The cluster's folder: its first processes have it in their command lines.
        parent: The command's process. Its other children are none of the cluster.
        seen: Processes that are known already; theirs belong to the cluster too.
    """
    table = process_table()
    found = {pid for pid, started in seen.items() if table.get(pid, ("", 0))[0] == started}
    found |= {pid for pid, (_, above) in table.items() if above == parent and _names(pid, folder)}
    while below := {pid for pid, (_, above) in table.items() if above in found} - found:
        found |= below
    return {pid: table[pid][0] for pid in found - {os.getpid()}}


def _names(pid: int, folder: str) -> bool:
    """Return whether a process has the folder in its command line, and is none of cnnkit's."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(folder) in line and pid != os.getpid()


if __name__ == "__main__":
    main()
