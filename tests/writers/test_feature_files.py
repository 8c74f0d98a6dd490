"""Features: one line per row, NaN for an error, in the rows' final order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError
from cnnkit.writers import FeatureSpool


def test_lines_come_in_the_rows_order_and_a_failure_is_nan(tmp_path):
    spool = FeatureSpool(tmp_path / "f.npy", 3)
    for line in ([1, 2, 3], None, [7, 8, 9]):
        spool.append(None if line is None else np.array(line, np.float32))
    spool.finish([(0, "a"), (2, "b"), (1, "c")], 3)
    spool.remove()
    read = np.load(tmp_path / "f.npy")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, [[1, 2, 3], [7, 8, 9], [np.nan] * 3])
    assert [p.name for p in tmp_path.iterdir()] == ["f.npy"]


def test_a_resumed_spool_drops_lines_without_a_row(tmp_path):
    spool = FeatureSpool(tmp_path / "f.npy", 2)
    for value in range(3):
        spool.append(np.full(2, value, np.float32))
    del spool
    spool = FeatureSpool(tmp_path / "f.npy", 2, rows=2)
    spool.append(np.full(2, 9, np.float32))
    spool.finish([(i, str(i)) for i in range(3)], 3)
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy")[:, 0], [0, 1, 9])


def test_a_spool_with_too_few_lines_is_refused(tmp_path):
    FeatureSpool(tmp_path / "f.npy", 2).append(np.zeros(2, np.float32))
    with pytest.raises(OutputError, match="fewer"):
        FeatureSpool(tmp_path / "f.npy", 2, rows=5)


def test_parquet_has_path_and_features(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    spool = FeatureSpool(tmp_path / "f.parquet", 2)
    spool.append(np.array([1, 2], np.float32))
    spool.finish([(0, "a.jpg")], 1)
    assert parquet.read_table(tmp_path / "f.parquet").to_pylist() == [
        {"path": "a.jpg", "features": [1.0, 2.0]}
    ]


def test_no_rows_make_an_empty_file(tmp_path):
    spool = FeatureSpool(tmp_path / "f.npy", 4)
    spool.finish([], 0)
    assert np.load(tmp_path / "f.npy").shape == (0, 4)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_file(tmp_path):
    lines, width = 64, 1 << 18  # of 1 MiB each
    spool = FeatureSpool(tmp_path / "f.npy", width)
    for value in range(lines):
        spool.append(np.full(width, value, np.float32))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = memory("VmRSS")
    spool.finish([(i, str(i)) for i in range(lines)], lines)
    assert memory("VmHWM") - before < 24 * 1024
    assert np.load(tmp_path / "f.npy", mmap_mode="r")[:, -1].tolist() == list(range(lines))


def memory(name):
    """Return a line of this process's status, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    """What could not be written fails again when the file is closed: that error was told."""
    spool = FeatureSpool(tmp_path / "f.npy", 2)
    with Path("/dev/full").open("r+b") as full:
        os.dup2(full.fileno(), spool._file.fileno())
    spool._check_unchanged = lambda: None  # it is another file now
    with pytest.raises(OutputError, match=r"f\.npy\.part cannot be written: No space"):
        spool.append(np.zeros(2, np.float32))
    spool.remove()
    assert not list(tmp_path.iterdir())
