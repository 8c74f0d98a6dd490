"""`cnnkit verify-face --pairs` killed by the system and resumed: no pair lost, none twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

IMAGES = 16
COMMAND = ("verify-face", "--pairs", "pairs.csv", "--min-face", "60")


@pytest.fixture
def pairs(examples: Path, tmp_path: Path) -> list[tuple[str, str]]:
    """Write small images of one face, one of them torn, and a list of all their pairs."""
    with Image.open(examples / "astronaut.jpg") as opened:
        face = opened.crop((140, 40, 320, 240))
    for number in range(IMAGES):
        face.rotate(number - IMAGES / 2).save(tmp_path / f"{number:02d}.jpg")
    (tmp_path / "13.jpg").write_bytes((tmp_path / "13.jpg").read_bytes()[:900])
    names = [f"{number:02d}.jpg" for number in range(IMAGES)]
    # The second image decides when a pair can be compared: rows come with every image.
    listed = sorted(combinations(names, 2), key=lambda pair: (pair[1], pair[0]))
    text = "".join(f"{a},{b},1\n" for a, b in listed)
    (tmp_path / "pairs.csv").write_text(f"a,b,same\n{text}")
    return listed


def killed_run(folder: Path, environment: dict[str, str], delay: float) -> bool:
    """Start or resume a run and kill it `delay` seconds after its first new rows.

    Returns:
        Whether it was killed: a run may also have ended before.
    """
    part = folder / "rows.jsonl.part"
    before = part.stat().st_size if part.exists() else 0
    resume = ["--resume"] if part.exists() else []
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnkit", *COMMAND, "-q", "-o", "rows.jsonl", *resume],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        if part.exists() and part.stat().st_size > before + 200:
            time.sleep(delay)
            process.kill()
            break
        time.sleep(0.001)
    return process.wait() == -9


@pytest.mark.slow  # a killed `classify` goes on by the same code in the default tests
@pytest.mark.parametrize("most", [2, 20])
def test_a_killed_list_of_pairs_goes_on(
    run_cnnkit: Callable,
    clean_environment: dict[str, str],
    pairs: list[tuple[str, str]],
    tmp_path: Path,
    most: int,
) -> None:
    undisturbed = run_cnnkit(*COMMAND, "-o", "whole.jsonl")
    assert undisturbed.returncode == 1, undisturbed.stderr
    chance = random.Random(most)
    kills, least, finished = 0, min(most, 4), tmp_path / "rows.jsonl"
    for _ in range(4 * most):
        if kills == most or (kills >= least and finished.exists()):
            break
        finished.unlink(missing_ok=True)  # it had ended before it could be killed
        kills += killed_run(tmp_path, clean_environment, chance.uniform(0, 0.01))
    assert kills >= least
    if not finished.exists():
        assert run_cnnkit(*COMMAND, "-o", "rows.jsonl", "--resume").returncode == 1
    rows, expected = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("rows.jsonl", "whole.jsonl")
    )
    assert [(row["a"], row["b"]) for row in rows] == pairs
    failed = [row for row in rows if row["status"] == "error"]
    assert {row["error"]["kind"] for row in failed} == {"truncated"}
    assert len(failed) == IMAGES - 1
    for row, other in zip(rows, expected, strict=True):
        # A resumed run puts other faces into a batch: the last digits may move.
        assert row.get("distance", 0) == pytest.approx(other.get("distance", 0), abs=1e-4)
        assert (row["status"], row.get("same")) == (other["status"], other.get("same"))
    assert not (tmp_path / "rows.jsonl.part").exists()
