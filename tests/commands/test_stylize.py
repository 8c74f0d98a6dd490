"""`cnnkit.stylize`: what the command does, from Python and in silence."""

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
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(examples / "cat.jpg", folder)
    (folder / "text.jpg").write_text("no image")
    shutil.copy(examples / "coffee.jpg", tmp_path / "style.jpg")
    return folder


def test_the_function_paints_what_the_command_paints(photos, capfd, monkeypatch) -> None:
    steps: list[tuple[int, int]] = []
    summary = cnnkit.stylize(
        Path("photos"),
        styles=Path("style.jpg"),
        output=Path("python"),
        fast=True,
        size=96,
        progress=lambda *step: steps.append(step),
    )
    assert capfd.readouterr() == ("", "")
    assert summary == cnnkit.Summary(ok=1, failed=1, resumed=0)
    assert steps == [(0, 2), (1, 2), (2, 2)]
    line = "cnnkit stylize photos --style style.jpg -o command --fast --size 96"
    monkeypatch.setattr("sys.argv", line.split())
    assert _run() == 1
    assert Path("python/cat.png").read_bytes() == Path("command/cat.png").read_bytes()
    rows = [json.loads(row) for row in Path("python/rows.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "error"]
    again = cnnkit.stylize(
        "photos", styles=["style.jpg"], output="python", fast=True, size=96, resume=True
    )
    assert again == cnnkit.Summary(ok=1, failed=1, resumed=2)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({}, "`output` is required"),
        ({"output": "out"}, "`styles` is required"),
        ({"output": "out", "max_pixels": 0}, "`max_pixels` must be at least 1"),
        ({"output": "out", "fast": True, "steps": 3}, "`steps` and `fast` are mutually exclusive"),
        ({"output": "out", "device": "cpu"}, "`device` requires `fast`"),
        ({"output": "style.jpg", "styles": "style.jpg", "overwrite": True}, "style.jpg"),
        ({"output": "out", "strength": 2.0}, "between 0 and 1"),
        ({"contact_sheet": "photos/cat.jpg"}, "exists already"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(keywords, said, photos) -> None:
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.stylize("photos", **keywords)
    assert said in str(caught.value)
    assert not Path("out").exists()
