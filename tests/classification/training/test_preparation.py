"""From folders to images with a split: what stays together, and what is said."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.classification.training.preparation import read_training_set
from cnnkit.data import Shares
from cnnkit.data.decoded import MaxBad
from cnnkit.errors import UsageError
from tests.data.images import scene


@pytest.fixture
def line(tmp_path: Path) -> str:
    """Photos of a camera that never moves: two classes, told apart by a small spot."""
    background = scene(3, 96, 128)
    for number in range(24):
        pixels = background.copy()
        pixels[40:44, 50 + number : 54 + number] = (255, 0, 0) if number % 2 else (0, 255, 0)
        folder = tmp_path / ("bad" if number % 2 else "good")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(tmp_path)


def read(data: str, copies: str | None = None):
    return read_training_set(
        data,
        root=None,
        split_file=None,
        shares=Shares(0.25),
        seed=0,
        copies=copies,
        max_bad=MaxBad(),
        max_pixels=10**6,
        workers=1,
        progress=lambda count: lambda: None,
    )


def test_a_fixed_camera_can_be_learned_from_and_it_is_said(line: str, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="cnnkit"):
        found = read(line)
    by_class = [np.bincount(found.splits[found.dataset.labels == c]).tolist() for c in (0, 1)]
    assert by_class == [[9, 3], [9, 3]]
    for name in ("bad", "good"):
        assert f"most of the 12 images of class {name!r} look alike" in caplog.text


def test_the_user_may_insist_or_waive(line: str, caplog) -> None:
    with pytest.raises(UsageError, match=r"not copies of one another.*`copies='apart'`"):
        read(line, "together")
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="cnnkit"):
        assert np.bincount(read(line, "apart").splits).tolist() == [18, 6]
    assert "look alike" not in caplog.text
