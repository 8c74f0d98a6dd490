"""Trainings on several processes, as a user starts them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit.bundles import open_model
from tests.classification.training.drawings import draw
from tests.faces.training.digits import write_digits
from tests.formats.drawn_boxes import draw_boxes
from tests.training.processes import ROOT, ended, environment, free_address

pytest.importorskip("jax")
pytestmark = pytest.mark.slow


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnkit", *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def together(*arguments: str) -> list[tuple[int, str, str]]:
    """Run a command as two processes."""
    address = ("--coordinator", free_address(), "--processes", "2")
    return ended(*(command(*arguments, *address, "--process-id", str(n)) for n in range(2)))


def losses(bundle: Path) -> list[list[float]]:
    """Return the numbers of a bundle's history that are no times."""
    with (bundle / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        [float(v) for k, v in row.items() if v and "second" not in k and k not in ("stage", "best")]
        for row in rows
    ]


def assert_same_training(one: Path, two: Path, found: list[tuple[int, str, str]]) -> None:
    assert [status for status, _, _ in found] == [0, 0], found
    assert found[0][1] and not found[1][1]  # only the first process tells of the bundle
    for row, other in zip(losses(one), losses(two), strict=True):
        assert other == pytest.approx(row, rel=2e-4, abs=1e-5)


def test_transfer_learn(tmp_path: Path) -> None:
    photos = str(draw(tmp_path / "photos", count=10))
    arguments = ["transfer-learn", photos, "--from-scratch", "lenet-5", "--epochs", "2"]
    arguments += ["--batch-size", "8", "--learning-rate", "1e-3"]
    one, two = tmp_path / "one", tmp_path / "two"
    [(status, _, errors)] = ended(command(*arguments, "-o", str(one)))
    assert status == 0, errors
    assert_same_training(one, two, together(*arguments, "-o", str(two)))
    assert open_model(str(two)).card.builder == "lenet-5"
    # What stops the first process stops all of them, each with one line.
    found = together(*arguments, "-o", str(two))
    assert [status for status, _, _ in found] == [2, 2]
    assert "exists already" in found[0][2] and "exists already" in found[1][2]
    assert len(found[1][2].splitlines()) == 1


def test_train_face(tmp_path: Path) -> None:
    digits = str(write_digits(tmp_path / "digits", each=6))
    arguments = ["train-face", digits, "--network", "embedding-small", "--crop", "none"]
    arguments += ["--size", "16", "--epochs", "2", "--people", "4", "--photos", "2"]
    one, two = tmp_path / "one", tmp_path / "two"
    [(status, _, errors)] = ended(command(*arguments, "-o", str(one)))
    assert status == 0, errors
    assert_same_training(one, two, together(*arguments, "-o", str(two)))


def test_train_detector(tmp_path: Path) -> None:
    draw_boxes(tmp_path / "shapes", count=13)
    arguments = ["train-detector", str(tmp_path / "shapes"), "--size", "96", "--batch-size", "4"]
    arguments += ["--frozen-epochs", "1", "--epochs", "1", "--one-scale"]
    one, two = tmp_path / "one", tmp_path / "two"
    [(status, _, errors)] = ended(command(*arguments, "-o", str(one)))
    assert status == 0, errors
    assert_same_training(one, two, together(*arguments, "-o", str(two)))


def test_train_style(tmp_path: Path, examples: Path) -> None:
    arguments = ["train-style", str(examples), "--style", str(examples / "coffee.jpg")]
    arguments += ["--size", "64", "--style-size", "64", "--batch-size", "2", "--filters", "8"]
    arguments += ["--steps", "3", "--time-budget", "1h"]
    one, two = tmp_path / "one", tmp_path / "two"
    [(status, _, errors)] = ended(command(*arguments, "-o", str(one)))
    assert status == 0, errors
    assert_same_training(one, two, together(*arguments, "-o", str(two)))


def test_a_head_alone_needs_no_processes(tmp_path: Path) -> None:
    [(status, _, errors)] = ended(
        command("transfer-learn", "photos", "-o", str(tmp_path / "new"), "--coordinator", "a:1")
    )
    assert status == 2
    assert "--processes is required" in errors
