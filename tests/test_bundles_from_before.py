"""Models and a gallery that an earlier version made open today and say the same.

tests/fixtures/before/ was made by the commands of version 0.1.0.dev0 before its packages were
named anew: a classifier of scikit-learn's digits, an embedder of them as if they were faces, a
gallery of both, a detector of drawn shapes, and a painter. `results.json` and `painted.png` are
what that version said, in float32.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import load_file, save

from cnnkit.cli import group

BEFORE = Path(__file__).parent / "fixtures" / "before"
RESULTS = json.loads((BEFORE / "results.json").read_text(encoding="utf-8"))
BACKBONE = Path(__file__).resolve().parents[1] / "models/efficientnet-lite0/weights.safetensors"
CLASSIFIER_ONLY = (
    "classifier",
    "head_bn",
    "head_conv",
)  # layers above the features that a detector reads
IMAGES = BEFORE / "images"
DIGITS = (IMAGES / "three.png", IMAGES / "eight.png")
# Another processor may add in another order: the figures have six digits.
SCORE = 1e-4
PIXELS = 0.1
GRAY_LEVELS = 0.5


def rows(*arguments: object) -> list[dict[str, Any]]:
    """Run a command that must succeed and return its rows without the header."""
    done = CliRunner().invoke(group, list(map(str, arguments)), prog_name="cnnkit")
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [row for row in found if row.get("status") == "ok"]


@pytest.mark.parametrize(("model", "wanted"), [("", "classify"), ("model.keras", "keras")])
def test_a_classifier_gives_the_same_predictions(model: str, wanted: str) -> None:
    options = ("--precision", "float32", "--format", "jsonl")
    found = rows("classify", *DIGITS, "--model", BEFORE / "classifier" / model, *options)
    assert len(found) == 2
    for row, before in zip(found, RESULTS[wanted], strict=True):
        assert row["label"] == before["label"]
        labels, scores = zip(*before["predictions"], strict=True)
        assert [p["label"] for p in row["predictions"]] == list(labels)
        assert [p["score"] for p in row["predictions"]] == pytest.approx(scores, abs=SCORE)


def detector(folder: Path) -> Path:
    """Put a detector together: the fixture holds what was trained, its backbone is embedded."""
    shutil.copytree(BEFORE / "detector", folder)
    tensors = load_file(BACKBONE) | load_file(folder / "head.safetensors")
    (folder / "head.safetensors").unlink()
    needed = {n: tensor for n, tensor in tensors.items() if n.split("/")[0] not in CLASSIFIER_ONLY}
    content = save({name: needed[name].astype(np.float32) for name in sorted(needed)})
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(content).hexdigest() == card["weights"]["sha256"]
    (folder / "weights.safetensors").write_bytes(content)
    return folder


@pytest.mark.slow
def test_a_detector_finds_the_same_boxes(tmp_path: Path) -> None:
    options = ("--confidence", 0.05, "--precision", "float32", "--format", "jsonl")
    shapes = (IMAGES / "shape.png", IMAGES / "other-shape.png")
    found = rows("detect", *shapes, "--model", detector(tmp_path / "detector"), *options)
    assert len(found) == 2
    for row, before in zip(found, RESULTS["detect"], strict=True):
        assert len(row["detections"]) == len(before) == 1
        for one, (label, score, box) in zip(row["detections"], before, strict=True):
            assert one["label"] == label
            assert one["score"] == pytest.approx(score, abs=SCORE)
            assert one["box"] == pytest.approx(box, abs=PIXELS)


@pytest.mark.parametrize(("other", "number"), [("another-three.png", 0), ("eight.png", 1)])
def test_an_embedder_sees_the_same_distances(other: str, number: int) -> None:
    before = RESULTS["verify"][number]
    pair = (DIGITS[0], IMAGES / other)
    command = ["verify-face", *map(str, pair), "--embedder", str(BEFORE / "embedder"), "--json"]
    done = CliRunner().invoke(group, command)
    assert done.exit_code == (0 if before["same"] else 1), done.output
    row = json.loads(done.stdout)
    assert row["same"] == before["same"]
    for name in ("distance", "probability"):
        assert row[name] == pytest.approx(before[name], abs=SCORE)


def test_a_gallery_knows_the_same_people(tmp_path: Path) -> None:
    gallery = shutil.copy(BEFORE / "team.gallery", tmp_path)
    options = ("--embedder", BEFORE / "embedder", "--format", "jsonl")
    found = rows("gallery", "identify", gallery, *DIGITS, *options)
    assert len(found) == 2
    for row, before in zip(found, RESULTS["identify"], strict=True):
        [face] = row["faces"]
        assert face["name"] == before["name"]
        for name in ("distance", "probability"):
            assert face[name] == pytest.approx(before[name], abs=SCORE)


def test_a_painter_paints_the_same(tmp_path: Path, examples: Path) -> None:
    target = tmp_path / "painted.png"
    options = ("--model", BEFORE / "painter", "--size", 96, "-o", target)
    rows("stylize", examples / "cat.jpg", "--fast", *options)
    with Image.open(target) as today, Image.open(BEFORE / "painted.png") as before:
        apart = np.abs(np.asarray(today, np.float32) - np.asarray(before, np.float32))
    assert apart.shape == (64, 96, 3)
    assert apart.mean() < GRAY_LEVELS
