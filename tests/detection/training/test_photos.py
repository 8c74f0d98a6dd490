"""The default training on real photos, held to what it reached where it was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnkit
from benchmarks.train_detector import fixed_split
from cnnkit.formats import write_boxes


@pytest.mark.slow
def test_raccoons_are_found(test_data: Path, tmp_path: Path) -> None:
    images = test_data / "raccoon" / "images"
    for name, part in zip(("train", "test"), fixed_split(test_data / "raccoon"), strict=True):
        write_boxes(f"coco:{tmp_path / name}.json", part, ["raccoon"])
    model = cnnkit.train_detector(f"coco:{tmp_path}/train.json", tmp_path / "model", images=images)
    assert model.card["architecture"]["builder"] == "nanodet-g"
    found = cnnkit.evaluate(model.path, f"coco:{tmp_path}/test.json", images=images)
    assert found.figures["metrics"]["AP50"] >= 0.9
    assert found.figures["metrics"]["AP"] >= 0.55
