"""What ended an earlier run becomes a failure of the run that resumes it, and ends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cnnkit.faces.pair_files import verified_rows
from cnnkit.folder_job import FolderJob, Outputs
from cnnkit.images import Finder, Found
from cnnkit.isolation import suspects
from cnnkit.isolation.decoders import CRASHED
from cnnkit.results import Failure, make_row, pair_key

HEADER = {"command": "test"}
PIXEL = b"P5 1 1 255 \x00"
NAMES = [f"{n:03d}.pgm" for n in range(50)]
# A command whose process, and whose decoder's, end with an image that holds b"crash".
CLASSIFY = """
import importlib, os, sys, cnnkit
from cnnkit.images import files
from cnnkit.isolation import suspects
from cnnkit.runtime import children

prepare = importlib.import_module("cnnkit.images.prepare")
real, places = prepare.opened_image, children.loaded_from

def opened(source, **settings):
    if files.read_bytes(source) == b"crash":
        os.kill(os.getpid(), 11)
    return real(source, **settings)

prepare.opened_image = opened
children.loaded_from = lambda: places() | {"strange": sys.argv[1]}
suspects.start_decoder = lambda: children.connect_module("strange")
print(cnnkit.classify("photos", output="rows.jsonl", resume=os.path.exists("rows.jsonl.part")))
"""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start) -> list[Found]:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_bytes(PIXEL)
    monkeypatch.setattr(suspects, "start_decoder", start)
    return [Found(name) for name in NAMES]


def begin(resume: bool = True) -> FolderJob:
    return FolderJob(Outputs(rows=Path("rows.jsonl"), resume=resume), HEADER)


def take(job: FolderJob, images: list[Found], until: str = "") -> list[dict]:
    """Record a row for each input that has none, up to one."""
    for item in job.pending(images):
        if item.path == until:
            break
        job.record(make_row(item.path, item.failure or Failure("failed", "not decoded here")))
    return [row for _, row in job._journal.rows()] if job._journal else []


def test_a_fatal_image_is_a_row_after_a_death_and_sought_at_no_other_time(images) -> None:
    for name in ("005.pgm", "006.pgm", "045.pgm"):
        Path(name).write_bytes(b"crash")
    first = begin(resume=False)
    take(first, images, "004.pgm")
    first._journal.close()  # as the system does it for a process that dies
    second = begin()
    rows = take(second, images, "046.pgm")
    crashed = [row["path"] for row in rows if row["error"]["kind"] == "crashed"]
    assert crashed == ["005.pgm", "006.pgm"]  # the other one was not at hand
    assert {row["error"]["message"] for row in rows} == {CRASHED, "not decoded here"}
    second.close()  # stopped, but alive
    assert not begin_dead()


def test_an_image_in_an_archive_is_tried_like_a_file(images) -> None:
    """It ended each run that resumed: only files were tried."""
    Path("005.pgm").write_bytes(b"crash")
    with tarfile.open("x.tar", "w") as archive:
        for name in NAMES:
            archive.add(name)
    members = list(Finder(["x.tar"]))
    first = begin(resume=False)
    take(first, members, "x.tar!004.pgm")
    first._journal.close()
    second = begin()
    rows = take(second, members)
    crashed = [row["path"] for row in rows if row["error"]["kind"] == "crashed"]
    assert crashed == ["x.tar!005.pgm"] and len(rows) == len(NAMES)
    second.close()


def test_an_image_of_pairs_is_tried_once_for_all_of_them(images, monkeypatch) -> None:
    for name in ("005.pgm", "045.pgm"):
        Path(name).write_bytes(b"crash")
    keys = [pair_key(a, b) for a, b in zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)]
    monkeypatch.setattr(suspects, "MOST_IN_PAIRS", 20)
    some = suspects.Suspects()
    tried = [some.tried(Found(key)) for key in keys]
    some.close()
    failed = {one.path: one.failure.message for one in tried if one.failure is not None}
    assert failed == dict.fromkeys(keys[4:6], f"005.pgm: {CRASHED}")  # the other: not in hand


def test_pairs_that_have_failed_are_not_compared() -> None:
    """An image that ends its process ended each run that resumed, as one of a pair."""

    class Verifier:
        def stream(self, pairs, workers):
            yield from ((pair, Failure("no-face", pair.a)) for pair in pairs)

    crashed = Failure("crashed", CRASHED)
    found = [Found(pair_key("a", "b")), Found(pair_key("c", "b"), crashed), Found("d\0b")]
    rows = [row for row, _ in verified_rows(Verifier(), None, found)]
    assert [(row["a"], row["b"], row["error"]["kind"]) for row in rows] == [
        ("a", "b", "no-face"),
        ("c", "b", "crashed"),
        ("d", "b", "no-face"),
    ]


def begin_dead() -> bool:
    """Resume, and return whether the earlier process is taken for dead."""
    job = begin()
    try:
        return job._journal.died
    finally:
        job.close()


def test_an_interruption_before_all_suspects_were_tried_clears_none(images) -> None:
    first = begin(resume=False)
    take(first, images, "004.pgm")
    first._journal.close()
    second = begin()
    take(second, images, "020.pgm")
    second.close()
    assert begin_dead()
    third = begin()
    assert len(take(third, images)) == len(NAMES)
    third.finish()
    assert len(Path("rows.jsonl").read_text().splitlines()) == len(NAMES)


def test_what_is_no_file_is_not_tried(images) -> None:
    some = suspects.Suspects()
    gone, failed = Found("gone.png"), Found("x", Failure("empty", "zero bytes"))
    assert some.tried(gone) is gone
    assert some.tried(failed) is failed
    assert some.tried(images[0]) is images[0]
    some.close()


@pytest.mark.slow
def test_a_command_finishes_after_an_image_that_ends_its_process(
    examples: Path, tmp_path: Path, strange: Path, clean_environment: dict[str, str]
) -> None:
    (tmp_path / "photos").mkdir()
    photo = min(examples.glob("*.jpg"), key=os.path.getsize).read_bytes()
    for n in range(60):
        content = b"crash" if n == 40 else photo
        (tmp_path / "photos" / f"{n:02d}.jpg").write_bytes(content)

    def run() -> int:
        arguments = [sys.executable, "-c", CLASSIFY, str(strange)]
        return subprocess.run(arguments, cwd=tmp_path, env=clean_environment).returncode

    assert run() == -11
    assert run() == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 60
    assert [(row["path"], row["error"]["kind"]) for row in rows if row["status"] == "error"] == [
        ("photos/40.jpg", "crashed")
    ]
