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


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    limit, used = tmp_path / "max", tmp_path / "current"
    limit.write_text("1000\n")
    used.write_text("400\n")
    monkeypatch.setattr(memory, "LIMITS", ((str(limit), str(used)),))
    assert memory.available_memory() == 600
    limit.write_text("max\n")
    assert memory.available_memory() != 600
