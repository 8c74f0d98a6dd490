"""`cnnkit.verify_pairs`: what `verify-face --pairs` does, from Python and in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cli import _run


@pytest.fixture
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(examples / "astronaut.jpg", tmp_path / "a.jpg")
    shutil.copy(examples / "coffee.jpg", tmp_path / "b.jpg")
    Path("pairs.csv").write_text("a,b\na.jpg,a.jpg\na.jpg,b.jpg\n")
    return tmp_path


def test_the_function_writes_the_rows_of_the_command(photos, capfd, monkeypatch) -> None:
    summary = cnnkit.verify_pairs(Path("pairs.csv"), output=Path("file.jsonl"))
    listed = [("a.jpg", "a.jpg"), (Path("a.jpg"), "b.jpg"), ("a.jpg", "a.jpg")]
    assert cnnkit.verify_pairs(iter(listed), output="list.jsonl") == summary
    assert capfd.readouterr() == ("", "")
    assert (summary.ok, summary.failed) == (1, 1)
    monkeypatch.setattr("sys.argv", "cnnkit verify-face --pairs pairs.csv -o c.jsonl".split())
    assert _run() == 1
    rows = Path("c.jsonl").read_bytes()
    assert Path("file.jsonl").read_bytes() == rows == Path("list.jsonl").read_bytes()
    same, failed = map(json.loads, rows.splitlines())
    assert same["same"] and failed["error"]["kind"] == "no-face"


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"workers": 0}, "`workers` must be at least 1. Received: 0."),
        ({"faces": "two"}, "be one of one, largest, all"),
        ({"output": "pairs.csv", "overwrite": True}, "which is the input pairs.csv"),
        ({"min_score": 1.5}, "below 1"),
        ({"resume": True}, "resume"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(keywords, said, photos) -> None:
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.verify_pairs("pairs.csv", **keywords)
    assert said in str(caught.value)


def test_a_pair_that_comes_again_without_same_keeps_what_was_said(photos) -> None:
    Path("pairs.csv").write_text("a,b,same\na.jpg,a.jpg,1\na.jpg,a.jpg,\n")
    rows: list[dict] = []
    cnnkit.verify_pairs("pairs.csv", emit=rows.append)
    assert [row["expected"] for row in rows] == [True]


def test_another_precision_is_another_run(photos, monkeypatch) -> None:
    """A resumed run went on in it, and rows of both were in one file."""
    seen = []
    take = lambda *_, options, **__: seen.append(options["precision"])  # noqa: E731
    monkeypatch.setattr("cnnkit.commands.verify_pairs.verify_listed_pairs", take)
    for precision in ("float32", "int8"):
        cnnkit.verify_pairs("pairs.csv", precision=precision)
    assert seen[0] == "float32"
    assert seen[1].startswith("int8")
