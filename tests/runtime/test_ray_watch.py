"""The process that ends what a killed command has left: nothing but that, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnnkit.runtime.children import start_module
from cnnkit.runtime.ray_watch import LOOK, cluster_processes, process_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the system's process table")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A folder, and a process that has it in its command line and another one below."""
    folder = tmp_path / "cnnkit-ray-1"
    folder.mkdir()
    process = subprocess.Popen(["sh", "-c", "sleep 60 & wait", str(folder)])
    yield folder, process
    process.kill()
    process.wait()


def test_a_clusters_processes_are_told_from_others(cluster) -> None:
    folder, process = cluster
    other = subprocess.Popen(["sleep", "60"])
    try:
        while len(found := cluster_processes(str(folder), os.getpid(), {})) < 2:
            time.sleep(0.01)
        below = [pid for pid, (_, above) in process_table().items() if above == process.pid]
        assert set(found) == {process.pid, *below}
        # One that its parent has left still counts; a number that another process has does not.
        assert set(cluster_processes("/nowhere", 0, {below[0]: found[below[0]]})) == set(below)
        assert cluster_processes("/nowhere", 0, {below[0]: "1"}) == {}
    finally:
        for pid in (*below, other.pid):
            os.kill(pid, 9)
        other.wait()


@pytest.mark.parametrize("ends", [b"", b"."])
def test_they_end_with_a_command_that_is_killed(cluster, ends: bytes) -> None:
    folder, process = cluster
    watcher = start_module("cnnkit.runtime.ray_watch", [str(folder), str(os.getpid())])
    below = [pid for pid, (_, above) in process_table().items() if above == process.pid]
    if not ends:
        time.sleep(4 * LOOK)  # it starts, on a busy machine too, and looks at the processes
    watcher.communicate(ends)
    assert folder.exists() == bool(ends)
    assert has_ended(process.pid) == has_ended(below[0]) == (not ends)
    if ends:
        os.kill(below[0], 9)


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or will be when its parent has noticed."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in ("Z", "X"):
            return True
        time.sleep(0.002)
    return False
