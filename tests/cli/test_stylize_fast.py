"""``cnnkit stylize --fast`` as a user runs it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.style.painters import write_painter


def test_a_folder_with_a_bad_file_then_resumed(run_cnnkit, examples, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("cat.jpg", "coffee-rotated.jpg"):
        shutil.copy(examples / name, photos)
    (photos / "torn.jpg").write_bytes((examples / "coffee.jpg").read_bytes()[:2000])
    arguments = ["stylize", photos, "--style", examples / "rocket.jpg", "--fast", "-o", "out"]
    arguments += ["--size", 120, "--strength", 0.8]
    done = run_cnnkit(*arguments)
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[2]["error"]["kind"] == "truncated"
    assert "3 images" in done.stderr and "2 ok, 1 failed" in done.stderr
    for name in ("cat.png", "coffee-rotated.png"):
        made = Image.open(tmp_path / "out" / name)
        assert max(made.size) == 120 and np.asarray(made).std() > 10
    turned = Image.open(tmp_path / "out" / "coffee-rotated.png")
    assert turned.width > turned.height  # EXIF says so
    record = json.loads((tmp_path / "out" / "cat.png.json").read_text())
    assert record["settings"]["method"] == "one pass" and record["tiles"] == 1
    (photos / "late.png").write_bytes((tmp_path / "out" / "cat.png").read_bytes())
    again = run_cnnkit(*arguments, "--resume")
    assert again.returncode == 2  # finished: a new photo wants another folder
    assert "--overwrite" in again.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_trained_model_paints_one_photo(run_cnnkit, examples, tmp_path):
    write_painter(tmp_path / "painter")
    done = run_cnnkit(
        *("stylize", examples / "cat.jpg", "--fast", "--model", "painter", "-o", "cat.webp"),
        *("--runtime", "tensorflow", "--size", 64),
    )
    assert done.returncode == 0, done.stderr
    assert max(Image.open(tmp_path / "cat.webp").size) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fast", "--steps", "5"], "--steps and --fast are mutually exclusive"),
        (["--fast", "--time-budget", "5s"], "--time-budget and --fast are mutually exclusive"),
        (["--model", "painter"], "--model requires --fast"),
        (["--precision", "float32"], "--precision requires --fast"),
        (["--fast", "--model", "squeezenet-1.1"], "must be a model for the task stylize"),
        (["--fast", "--model", "nowhere"], "--model must name an embedded model"),
        (["--fast", "--strength", "2"], "--strength must lie between 0 and 1"),
    ],
)
def test_what_breaks_a_rule_is_one_line(
    arguments, message, monkeypatch, tmp_path, capsys, examples
):
    from cnnkit import cli

    monkeypatch.chdir(tmp_path)
    style = str(examples / "cat.jpg")
    whole = ["cnnkit", "stylize", "photo.jpg", "--style", style, "-o", "x.png", *arguments]
    monkeypatch.setattr("sys.argv", whole)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
