"""Reads one graph in a process of its own, with bounded memory, as `reading` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from cnnkit.bundles.graphs.reading import REFUSAL, write_graph
from cnnkit.errors import BundleError
from cnnkit.runtime.process import available_cpus, bound_memory

# What reading may take besides the weights, which a reader may hold more than once.
SPARE_BYTES = 6 << 30
# Address space that the system's allocator sets aside for a thread, used or not.
BYTES_A_THREAD = 256 << 20
COPIES = 4
CPU_SECONDS = 600


def main(path: str, form: str, size: str, folder: str) -> int:
    """Read a graph of some bytes into a folder; returns the exit status."""
    spare = SPARE_BYTES + BYTES_A_THREAD * available_cpus()
    bound_memory(spare + COPIES * int(size), CPU_SECONDS)
    try:
        write_graph(Path(path), form, Path(folder))
    except BundleError as error:
        (Path(folder) / REFUSAL).write_text(str(error), encoding="utf-8")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
