from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli import display, options
from cnnkit.cli.stylize import StylizeDisplay, numbers
from cnnkit.errors import UsageError
from cnnkit.style.optimization import OptimizationProgress
from cnnkit.style.state import OptimizationState


@pytest.mark.slow
def test_a_folder_with_a_bad_file_then_resumed(run_cnnkit, examples, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(examples / "cat.jpg", photos)
    (photos / "torn.jpg").write_bytes((examples / "coffee.jpg").read_bytes()[:2000])
    translucent = Image.open(examples / "rocket.jpg").resize((100, 80)).convert("RGBA")
    translucent.putalpha(Image.linear_gradient("L").resize((100, 80)))
    translucent.save(photos / "clear.png")
    arguments = ["stylize", photos, "--style", examples / "coffee.jpg", "-o", "out"]
    arguments += ["--size", 96, "--steps", 3, "--threads", 1]
    done = run_cnnkit(*arguments)
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[2]["error"]["kind"] == "truncated"
    assert "3 images, up to 96 x 64 pixels" in done.stderr and "GB of memory" in done.stderr
    assert "2 ok, 1 failed" in done.stderr and "oneDNN" not in done.stderr
    result = Image.open(tmp_path / "out" / "clear.png")
    assert (result.mode, result.size) == ("RGBA", (96, 77))
    record = json.loads((tmp_path / "out" / "cat.png.json").read_text())
    assert record["settings"]["seed"] == 0 and len(record["curve"]["rows"]) == 3
    assert record["curve"]["columns"] == ["step", "content", "style", "variation"]
    assert record["version"] and len(record["sha256"]) == 64
    again = run_cnnkit(*arguments, "--resume")
    assert again.returncode == 1 and again.stdout == ""


@pytest.mark.slow
def test_a_sheet_to_choose_from(run_cnnkit, examples, tmp_path, monkeypatch):
    done = run_cnnkit(
        *("stylize", examples / "cat.jpg", "--style", examples / "coffee.jpg", "--steps", 2),
        *("--contact-sheet", "sheet.png"),
    )
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert sheet.shape[1] > 5 * 192


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.png"], "--style is required"),
        (["--style", "none.jpg", "-o", "x.png"], "none.jpg cannot be read: no such file"),
        (["--style", "s.jpg"], "-o is required"),
        (["--style", "s.jpg", "--contact-sheet", "x.gif"], "--contact-sheet must end in"),
    ],
)
def test_what_breaks_a_rule_is_one_line(arguments, message, monkeypatch, tmp_path, capsys):
    from cnnkit import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cnnkit", "stylize", "photo.jpg", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("90", 90), ("1.5m", 90), ("2min", 120), ("1h", 3600)]
)
def test_durations(text, seconds):
    assert options.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3s", "5 weeks"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="--time-budget must be a duration"):
        options.seconds_of(text)


def test_lists_of_numbers():
    assert numbers("2,1", "--style-weights") == [2, 1]
    with pytest.raises(UsageError, match="must be a list of numbers"):
        numbers("2;1", "--style-weights")


def test_rows_are_json_lines_where_nobody_reads_along(capsys):
    with StylizeDisplay(quiet=True) as shown:
        shown.show({"path": "a.jpg", "status": "ok", "output": "b.png"})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"path": "a.jpg", "status": "ok", "output": "b.png"}
    assert err == ""


def test_the_step_that_compiles_is_no_measure_of_what_is_left(caplog, monkeypatch):
    monkeypatch.setattr(display, "SECONDS_A_LINE", 0)
    caplog.set_level(logging.INFO, "cnnkit")
    state = OptimizationState.starting_from(np.zeros((2, 3, 3), np.float32))
    with StylizeDisplay(quiet=False) as shown:
        shown.count(0, 1)
        for step in (1, 2):
            shown.progress(
                1, OptimizationProgress(step, 60, (2, 3), 1.0, 1.0, 2.0, 9.0, 399.0, state)
            )
    first, second = caplog.messages
    assert "step 1 of 60" in first and "left" not in first
    assert "step 2 of 60" in second and second.endswith("399 s left")


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_image(
    run_cnnkit, clean_environment, examples, tmp_path
):
    arguments = ["stylize", examples / "cat.jpg", "--style", examples / "coffee.jpg"]
    arguments += ["--size", 256, "--steps", 600]
    command = [sys.executable, "-m", "cnnkit", *map(str, arguments), "-o", "killed.png"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(tmp_path.glob(".cnnkit-unfinished/*.safetensors")):
        time.sleep(0.05)
    assert process.poll() is None, "it was finished before it kept a state"
    process.kill()
    process.wait()
    resumed = run_cnnkit(*arguments, "-o", "killed.png", "--resume", timeout=600)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step" in resumed.stderr
    whole = run_cnnkit(*arguments, "-o", "whole.png", timeout=600)
    assert whole.returncode == 0, whole.stderr
    one, other = (
        np.asarray(Image.open(tmp_path / name), np.int16) for name in ("killed.png", "whole.png")
    )
    assert np.abs(one - other).mean() < 2
    assert not (tmp_path / ".cnnkit-unfinished").exists()


@pytest.mark.slow
def test_the_jax_backend_paints_the_same(run_cnnkit, examples, tmp_path):
    arguments = ["stylize", examples / "cat.jpg", "--style", examples / "coffee.jpg"]
    arguments += ["--size", 128, "--steps", 10]
    losses = []
    for backend in ("tensorflow", "jax"):
        done = run_cnnkit(
            *arguments,
            "-o",
            f"{backend}.png",
            environment={"KERAS_BACKEND": backend},
            timeout=600,
            fresh=True,
        )
        assert done.returncode == 0, done.stderr
        losses.append(json.loads(done.stdout)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.slow
def test_a_large_image_in_tiles_has_no_seams(run_cnnkit, examples, tmp_path):
    arguments = ["stylize", examples / "cat.jpg", "--style", examples / "coffee.jpg"]
    arguments += ["--size", 320, "--steps", 60]
    losses, jumps = [], []
    for name, tile in (("tiled.png", "128"), ("whole.png", "none")):
        done = run_cnnkit(*arguments, "-o", name, "--tile", tile, timeout=600)
        assert done.returncode == 0, done.stderr
        assert "retracing" not in done.stderr
        losses.append(json.loads(done.stdout)["style_loss"])
        pixels = np.asarray(Image.open(tmp_path / name), np.float32)
        across = np.abs(np.diff(pixels, axis=1)).mean(axis=(0, 2))
        jumps.append(across.max() / np.median(across))
    assert losses[0] < 2 * losses[1]
    assert jumps[0] < 1.3 * jumps[1]
