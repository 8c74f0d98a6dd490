"""`cnnkit.explain`: what the command does, from Python and in silence."""

from __future__ import annotations

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
    return folder


def test_the_function_writes_what_the_command_writes(photos, capfd, monkeypatch) -> None:
    rows: list[dict] = []
    summary = cnnkit.explain(Path("photos"), maps=Path("heat"), output="p.csv", emit=rows.append)
    assert capfd.readouterr() == ("", "")
    assert (summary.ok, summary.failed) == (1, 1)
    made = {path.name: path.read_bytes() for path in Path("heat").iterdir()}
    assert len(made) == 1 and rows[0]["heat"].endswith(".npy")
    line = "cnnkit explain photos --maps heat -o p.csv --overwrite"
    before = Path("p.csv").read_bytes()
    monkeypatch.setattr("sys.argv", line.split())
    assert _run() == 1
    assert Path("p.csv").read_bytes() == before
    assert {path.name: path.read_bytes() for path in Path("heat").iterdir()} == made


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0."),
        ({"size": 8}, "at least 16"),
        ({"overlays": Path("photos"), "overwrite": True}, "differ from the folders"),
        ({"reference": "photos/cat.jpg"}, "embed-face"),
        ({"model": "yolov3-tiny", "layer": "a"}, "requires a model for classify"),
        ({"method": "guessing"}, "guessing"),
        ({"retry_errors": True}, "resume"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(keywords, said, photos) -> None:
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.explain("photos", **keywords)
    assert said in str(caught.value)
