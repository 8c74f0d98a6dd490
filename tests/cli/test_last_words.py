"""A crash of a native library ends a command with one line that names what was read last."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from mmap import mmap
from pathlib import Path

import pytest

from cnnkit import last_read
from cnnkit.cli.last_words import _line, _read
from tests.forked import run_forked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked")

# The command line, whose decoder crashes of a file that holds b"crash".
CRASHING = """
import ctypes, importlib, sys
from cnnkit.cli import main
from cnnkit.images import files

prepare = importlib.import_module("cnnkit.images.prepare")
real = prepare.opened_image

def opened(source, **settings):
    if files.read_bytes(source) == b"crash":
        ctypes.string_at(0)
    return real(source, **settings)

prepare.opened_image = opened
main()
"""


@pytest.fixture
def run_crashing(tmp_path: Path, clean_environment: dict[str, str]):
    """Runs a command whose decoder can crash."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CRASHING, *arguments],
            cwd=tmp_path,
            env=clean_environment | variables,
            capture_output=True,
            encoding="utf-8",
        )

    return run


@pytest.fixture
def photos(tmp_path: Path, examples: Path) -> Path:
    """A folder of 20 photos, of which one ends the process that decodes it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = min(examples.glob("*.jpg"), key=os.path.getsize).read_bytes()
    for n in range(20):
        (folder / f"{n:02d}.jpg").write_bytes(photo)
    (folder / "1\x1b[31m0.jpg").write_bytes(b"crash")
    return folder


def test_a_crash_is_said_with_the_file_and_can_be_resumed(run_crashing, photos: Path) -> None:
    died = run_crashing("classify", "photos", "-o", "rows.jsonl", "-q")
    assert died.returncode == -11
    (line,) = died.stderr.splitlines()
    assert line.startswith("cnnkit: error: a library crashed (Segmentation fault).")
    saved = "Run the same command again with --resume: what crashes becomes an error row."
    assert line.endswith(f" Read last: photos/1\\x1b[31m0.jpg. {saved}")


def test_how_to_go_on_is_what_the_command_can(
    run_crashing, photos: Path, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    shown = run_crashing("classify", "photos", "-q")
    assert shown.returncode == -11
    assert "or run with --output FILE and then again with --resume: what crashes " in shown.stderr
    # Forked, for it imports TensorFlow.
    looking = ("visualize", "activations", "photos/1\x1b[31m0.jpg", "-o", "sheets")
    without = run_forked(["-c", CRASHING, *looking], cwd=tmp_path, env=clean_environment)
    assert without.returncode == -11
    assert without.stderr.splitlines()[-1].endswith("Leave out what crashes.")


def test_nothing_is_said_of_what_ends_otherwise(run_crashing, photos: Path) -> None:
    next(photos.glob("1\x1b*")).unlink()
    fine = run_crashing("classify", "photos", "-o", "rows.jsonl", "-q")
    assert (fine.returncode, fine.stderr) == (0, "")
    refused = run_crashing("classify", "photos", "-o", "rows.jsonl", "-q")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1


def test_the_tracebacks_that_a_programmer_asked_for_stay(run_crashing, photos: Path) -> None:
    died = run_crashing("classify", "photos", "-q", PYTHONFAULTHANDLER="1")
    assert died.returncode == -11
    assert died.stderr.startswith("Fatal Python error") and "a library crashed" not in died.stderr


def test_no_lock_of_the_caller_is_held_and_no_process_stays(
    tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """The process that waits holds nothing but standard error, and is waited for."""
    code = """
import os, time
from cnnkit.cli.last_words import last_words
reading, writing = os.pipe()
os.dup2(writing, 200)
with last_words():
    os.close(writing)
    os.close(200)
    assert os.read(reading, 1) == b""  # would wait without end
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("no child\n", "")


@pytest.mark.parametrize("fails", ["fork", "pipe"])
def test_where_no_process_can_be_forked_the_command_runs(
    tmp_path: Path, clean_environment: dict[str, str], fails: str
) -> None:
    code = f"""
import errno, os
from cnnkit.cli import main
def full(*_):
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
os.{fails} = full
main()
"""
    arguments = [sys.executable, "-c", code, "shapes", "--input", "8x8x1", "flatten", "--brief"]
    done = subprocess.run(
        arguments, cwd=tmp_path, env=clean_environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_caller_that_ignores_the_end_of_its_children_changes_nothing(
    tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    code = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    code += "from cnnkit.cli import main; main()"
    arguments = [sys.executable, "-c", code, "shapes", "--input", "8x8x1", "flatten", "--brief"]
    done = subprocess.run(
        arguments, cwd=tmp_path, env=clean_environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_comes_in_pieces_is_read_to_the_number_of_the_thread() -> None:
    reading, writing = os.pipe()
    parts = [b"Fatal Python error: Bus error\n\nCurrent thr", b"ead 0x", b"00ab", b"cd (most rec"]

    def write() -> None:
        for part in parts:
            os.write(writing, part)
            time.sleep(0.02)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    said = _read(reading)
    writer.join()
    os.close(reading)
    line = _line(said, {0xABCD: "own.jpg", 1: "other.jpg"}, last_read.NO_ROWS).decode()
    assert line.startswith("cnnkit: error: a library crashed (Bus error). Read last: own.jpg. ")


def test_a_name_that_no_file_can_have_is_noted() -> None:
    memory = mmap(-1, last_read.SIZE)
    last_read.keep_in(memory)
    try:
        last_read.note("a\ud800.jpg")
    finally:
        last_read.keep_in(None)
    assert last_read.read_last(memory) == {threading.get_ident(): "a\\ud800.jpg"}
