"""A file that takes its name in one step, or leaves everything as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnkit.errors import OutputError
from cnnkit.writers import replacing as replacing_module
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


@pytest.fixture
def left(tmp_path):
    """Return a function that leaves a file in the folder as a killed run does, some time ago."""

    def leave(hours: float, name: str = f".cnnkit-{'0' * 15}a.part") -> Path:
        path = tmp_path / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
        return path

    replacing_module._remove_left_behind.cache_clear()
    yield leave
    replacing_module._remove_left_behind.cache_clear()


@pytest.mark.parametrize(
    ("hours", "name", "goes"),
    [
        (25, f".cnnkit-{'0' * 16}.part", True),
        (23, f".cnnkit-{'0' * 16}.part", False),
        (99, f".cnnkit-{'0' * 15}.part", False),
        (99, f".cnnkit-{'0' * 16}.part.txt", False),
        (99, "rows.jsonl.part", False),
    ],
)
def test_what_a_killed_run_has_left_is_removed_by_the_next(target, left, hours, name, goes):
    path = left(hours, name)
    with replacing(target) as file:
        assert path.exists() is not goes
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_what_another_process_writes_stays_however_old_it_is(target, left):
    path = left(99)
    program = (
        "import sys; from pathlib import Path; from cnnkit.writers.locking import open_locked\n"
    )
    program += "held = open_locked(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program, str(path)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with replacing(target):
            assert path.exists()
        other.communicate()
    replacing_module._remove_left_behind.cache_clear()
    with replacing(target):
        assert not path.exists()


def test_folders_and_links_of_such_a_name_stay(target, left, tmp_path):
    (tmp_path / f".cnnkit-{'b' * 16}.part").mkdir()
    other = left(99, "mine.txt")
    (tmp_path / f".cnnkit-{'c' * 16}.part").symlink_to(other)
    for name in "bc":
        path = tmp_path / f".cnnkit-{name * 16}.part"
        os.utime(path, (0, 0), follow_symlinks=False)
    before = sorted(os.listdir(tmp_path))
    with replacing(target):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([*before, target.name])


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
