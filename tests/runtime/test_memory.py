from __future__ import annotations

import mmap

import pytest

from cnnkit.runtime import memory


def test_memory_is_counted_in_bytes():
    before = memory.resident_memory()
    if before is None or memory.available_memory() is None:
        pytest.skip("this system does not tell")
    # Mapped by itself: an array could get pages that a test before it has left resident.
    with mmap.mmap(-1, 100 << 20) as block:
        block[:] = b"\1" * len(block)
        grown = memory.resident_memory() - before
    assert 50 << 20 < grown < 300 << 20
    assert memory.peak_memory() >= 100 << 20
    assert memory.available_memory() > 1 << 20


def container(monkeypatch, folder, *, swap_alone: bool = True, **numbers: object) -> None:
    """Let a container be counted in files with these numbers."""
    for name, value in numbers.items():
        (folder / name).write_text(f"{value}\n")
    paths = {name: str(folder / name) for name in ("limit", "used", "statistics")}
    swap = (str(folder / "swap_limit"), str(folder / "swap_used"))
    group = memory._Group(**paths, swap=swap, swap_alone=swap_alone)
    monkeypatch.setattr(memory, "GROUPS", (group,))


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    container(monkeypatch, tmp_path, limit=1000, used=400)
    assert memory.available_memory() == 600
    container(monkeypatch, tmp_path, limit="max", used=400)
    assert memory.available_memory() != 600


@pytest.mark.parametrize("prefix", ["", "total_"])
def test_files_that_a_container_has_read_leave_their_memory_to_others(
    monkeypatch, tmp_path, prefix
):
    sizes = {"anon": 90, "file": 900, "inactive_file": 600, "active_file": 200, "shmem": 100}
    lines = [f"{prefix}{name} {size}" for name, size in sizes.items()]
    if prefix:  # version 1 has those of the group alone as well
        lines = [f"{name} 1" for name in sizes] + lines
    container(monkeypatch, tmp_path, limit=1000, used=990, statistics="\n".join(lines))
    assert memory.available_memory() == 810


def test_swap_counts_where_it_is_asked_for(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemAvailable: 4 kB\nSwapTotal: 90 kB\nSwapFree: 8 kB\n")
    monkeypatch.setattr(memory, "MEMORY", str(tmp_path / "meminfo"))
    monkeypatch.setattr(memory, "GROUPS", ())
    assert memory.available_memory() == 4 * 1024
    assert memory.available_memory(swapping=True) == 12 * 1024
    numbers = {"limit": 1000, "used": 400, "swap_limit": 3000, "swap_used": 500}
    container(monkeypatch, tmp_path, **numbers)
    assert memory.available_memory() == 600
    assert memory.available_memory(swapping=True) == 600 + 2500
    container(monkeypatch, tmp_path, swap_alone=False, **numbers)
    assert memory.available_memory(swapping=True) == 2500
    # Without a limit of swap, as much as the system has; that of memory holds all the same.
    container(monkeypatch, tmp_path, **numbers | {"swap_limit": "max"})
    assert memory.available_memory(swapping=True) == 600 + 8 * 1024
    (tmp_path / "swap_limit").unlink()  # a kernel that does not count it
    assert memory.available_memory(swapping=True) == 600 + 8 * 1024
