"""A file that takes its name in one step, or leaves everything as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cnnkit.errors import OutputError
from cnnkit.writers.replacing import check_writable, replacing


@pytest.fixture
def target(tmp_path):
    """A file's path in a folder of its own."""
    return tmp_path / "target.txt"


def test_replacing_writes_at_the_end(target):
    target.write_text("old")
    with replacing(target) as file:
        file.write("näw\n".encode())
        assert target.read_text() == "old"
    assert target.read_bytes() == "näw\n".encode()
    assert os.listdir(target.parent) == [target.name]


def test_replacing_honours_the_umask(target):
    before = os.umask(0o027)
    try:
        with replacing(target) as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_leaves_nothing_of_a_failure(target, error):
    target.write_text("old")
    with pytest.raises(error), replacing(target) as file:
        file.write(b"new")
        raise error("theirs")
    assert target.read_text() == "old"
    assert os.listdir(target.parent) == [target.name]


def test_replacing_refuses_a_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        with replacing(tmp_path / "nowhere" / "target.html"):
            pytest.fail("the block must not run")


def test_replacing_refuses_a_folder(tmp_path):
    with pytest.raises(OutputError, match="Received: a folder"):
        with replacing(tmp_path):
            pytest.fail("the block must not run")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error(target, monkeypatch):
    real_open = open
    monkeypatch.setattr(Path, "open", lambda path, mode: real_open("/dev/full", "wb"))
    with (
        pytest.raises(OutputError, match="No space left"),
        replacing(target) as file,
    ):
        for _ in range(100):
            file.write(b"x" * 10_000)
    assert os.listdir(target.parent) == []


def test_what_can_be_written_is_told_without_a_trace(target):
    check_writable(target)
    check_writable(target.parent / "new" / "deep")
    assert os.listdir(target.parent) == []
    target.write_text("a file")
    with pytest.raises(OutputError, match=r"deep cannot be written: .*target.txt is not a folder"):
        check_writable(target / "deep")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(target):
    target.parent.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written: Permission denied"):
            check_writable(target)
    finally:
        target.parent.chmod(0o700)
