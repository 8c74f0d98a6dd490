from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.formats.drawn_boxes import draw_boxes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none/"], "DATA must be a file or a folder. Received: none/."),
        (["shapes", "--size", "33"], "--size must be a multiple of 32"),
        (["shapes", "--architecture", "ssd"], "Did you mean 'ssd-lite0'"),
        (["shapes", "--max-bad", "x"], "--max-bad must be"),
        (["shapes", "--assert-ap50", "7"], "--assert-ap50 must lie between 0 and 1"),
    ],
)
def test_bad_input_is_one_clear_line(run_cnnkit_here, tmp_path: Path, arguments, message) -> None:
    draw_boxes(tmp_path / "shapes", count=2)
    done = run_cnnkit_here("train-detector", *arguments, "-o", "model")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_train_evaluate_detect(run_cnnkit, tmp_path: Path) -> None:
    draw_boxes(tmp_path / "shapes", count=12)
    quick = ("--size", 96, "--frozen-epochs", 0, "--epochs", 1, "--batch-size", 4)
    trained = run_cnnkit("train-detector", "shapes", "-o", "model", *quick, "--assert-ap50", 1)
    assert trained.returncode == 1, trained.stderr
    assert "--assert-ap50 1 failed" in trained.stderr
    # Nothing of TensorFlow's own log, which begins otherwise.
    assert all(line.startswith("cnnkit: ") for line in trained.stderr.splitlines())
    assert "cnnkit detect --model model IMAGES" in trained.stdout
    card = json.loads((tmp_path / "model" / "card.json").read_text("utf-8"))
    found = {entry["what"]: entry["value"] for entry in card["measured"]}
    # By OpenVINO, and the same as what the training measured.
    assert found["AP"] == pytest.approx(card["training"]["metrics"]["val"]["AP"], abs=2e-3)
    assert set(found) == {"AP", "AP50", "AP, int8", "AP50, int8"}
    measured = run_cnnkit("evaluate", "--model", "model", "shapes", "--json", "--report", "r.html")
    assert measured.returncode == 0, measured.stderr
    figures = json.loads(measured.stdout)
    assert figures["task"] == "detect"
    assert figures["data"]["pictures"] == 12
    assert (tmp_path / "r.html").stat().st_size > 10_000
