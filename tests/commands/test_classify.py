"""`cnnkit.classify`: what the command does, from Python and in silence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cli import _run


@pytest.fixture
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two images, one torn, one that is text, and a file that is no image."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(examples / "cat.jpg", folder)
    shutil.copy(examples / "coffee.jpg", folder)
    (folder / "text.jpg").write_text("no image")
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    (folder / "notes.md").write_text("no image")
    return folder


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["cnnkit", *arguments])
    return _run()


@pytest.mark.parametrize("kind", [str, Path])
def test_the_function_writes_the_rows_of_the_command(kind, photos, capfd, monkeypatch) -> None:
    summary = cnnkit.classify(kind("photos"), output=kind("python.jsonl"))
    assert capfd.readouterr() == ("", "")
    assert (summary.ok, summary.failed, summary.resumed, summary.skipped) == (2, 2, 0, 1)
    assert run_command(monkeypatch, "classify", "photos", "-o", "command.jsonl") == 1
    assert Path("python.jsonl").read_bytes() == Path("command.jsonl").read_bytes()


def test_rows_and_progress_go_to_their_callbacks(photos, capfd) -> None:
    rows, steps = [], []
    summary = cnnkit.classify(
        [photos / "cat.jpg", "photos/text.jpg"],
        top_k=1,
        emit=rows.append,
        progress=lambda *step: steps.append(step),
    )
    assert [row["status"] for row in rows] == ["ok", "error"]
    assert len(rows[0]["predictions"]) == 1 and rows[0]["path"] == str(photos / "cat.jpg")
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert (summary.ok, summary.failed) == (1, 1)
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_run_is_resumed(photos) -> None:
    class Stop(Exception):
        pass

    def stop_at_the_third(row) -> None:
        met.append(row)
        if len(met) == 3:
            raise Stop

    met: list[dict] = []
    with pytest.raises(Stop):
        cnnkit.classify("photos", output="rows.jsonl", emit=stop_at_the_third)
    assert not Path("rows.jsonl").exists()
    rest: list[dict] = []
    summary = cnnkit.classify("photos", output="rows.jsonl", resume=True, emit=rest.append)
    assert (summary.ok, summary.failed, summary.resumed) == (2, 2, 3)
    assert [os.path.basename(row["path"]) for row in rest] == ["torn.jpg"]
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "error"]


def test_a_run_is_not_resumed_with_other_labels(photos) -> None:
    class Stop(Exception):
        pass

    def stop(row) -> None:
        raise Stop

    for name in ("one", "other"):
        Path(f"{name}.txt").write_text("".join(f"{name} {place}\n" for place in range(1000)))
    model = "squeezenet-1.1"
    with pytest.raises(Stop):
        cnnkit.classify("photos", output="rows.jsonl", model=model, labels="one.txt", emit=stop)
    for labels in (None, "other.txt"):
        with pytest.raises(cnnkit.CnnkitError, match="same model"):
            cnnkit.classify("photos", output="rows.jsonl", model=model, labels=labels, resume=True)
    cnnkit.classify("photos", output="rows.jsonl", model=model, labels="one.txt", resume=True)
    assert "other" not in Path("rows.jsonl").read_text()


@pytest.mark.parametrize(
    ("inputs", "keywords", "said"),
    [
        ("photos", {"top_k": 0}, "at least 1"),
        ("photos", {"examples": ""}, "`examples` must name a file or folder. Received: ''."),
        ("photos", {"batch_size": 0}, "`batch_size` must be at least 1. Received: 0."),
        ("photos", {"workers": 0}, "`workers` must be at least 1. Received: 0."),
        ("photos", {"max_pixels": 0}, "`max_pixels` must be at least 1. Received: 0."),
        ("photos", {"resume": True}, "resume"),
        ("photos", {"sort_into": "photos/cat.jpg"}, "name a folder"),
        ("photos", {"sort_into": Path("photos")}, "which is the input photos"),
        (iter(["photos"]), {"report": "photos/cat.jpg", "overwrite": True}, "the input photos/cat"),
        ("photos", {"output": "a.csv", "embeddings": "b/../a.csv"}, "different files and folders"),
        ([], {}, "`inputs` is required"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(inputs, keywords, said, photos) -> None:
    before = sorted(path.name for path in Path().rglob("*"))
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.classify(inputs, **keywords)
    assert said in str(caught.value)
    assert sorted(path.name for path in Path().rglob("*")) == before


def test_the_function_is_silent_in_a_program_of_its_own(photos, clean_environment) -> None:
    program = "import cnnkit; cnnkit.classify('photos/cat.jpg', output='rows.jsonl')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
