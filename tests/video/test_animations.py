from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.images import Finder, decode
from cnnkit.video import FrameFinder, FrameSelection, animations, frames

GRAYS = (0, 80, 160, 240)


def animated(path: Path, grays: tuple[int, ...] = GRAYS) -> Path:
    images = [Image.new("L", (40, 30), gray).convert("RGB") for gray in grays]
    timed = {} if path.suffix == ".tif" else {"duration": [100, 200, 300, 400][: len(grays)]}
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], **timed, **lossless)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_each_frame_is_one_and_the_first_is_what_it_was(tmp_path: Path, suffix: str) -> None:
    path = animated(tmp_path / f"a{suffix}")
    found = list(frames(path))
    assert [one.path.frame for one in found] == [0, 1, 2, 3]
    times = [None] * 4 if suffix == ".tif" else [0.0, 0.1, 0.3, 0.6]
    assert [one.path.time for one in found] == times
    for one, gray in zip(found, GRAYS, strict=True):
        pixels = np.asarray(one.path)
        assert pixels.shape == (30, 40, 3)
        assert np.abs(pixels.astype(int) - gray).max() <= 2
    assert np.array_equal(np.asarray(found[0].path), decode(path.read_bytes()))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_step_and_a_start(tmp_path: Path, suffix: str) -> None:
    path = animated(tmp_path / f"a{suffix}")
    assert [(one.path.frame, one.path.time) for one in frames(path, every="2f")] == [
        (0, 0.0),
        (2, 0.3),
    ]
    assert [one.path.frame for one in frames(path, from_time=0.1, to_time=0.6)] == [1, 2]
    assert [one.path.frame for one in frames(path, every="0.3s")] == [0, 2, 3]


def test_an_image_of_one_frame_and_one_that_nobody_asked_about_stay_images(tmp_path: Path) -> None:
    single = animated(tmp_path / "single.gif", (80,))
    assert [one.path for one in frames(single)] == [str(single)]
    several = animated(tmp_path / "several.gif")
    found = list(FrameFinder(Finder(several), FrameSelection()))
    assert [one.path for one in found] == [str(several)]


def test_an_early_end_is_one_failure(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.tif")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 1500])
    found = list(frames(path))
    assert found[-1].failure is not None
    assert all(one.failure is None for one in found[:-1])


def test_frames_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = animated(tmp_path / "a.gif")
    (only,) = frames(path, max_pixels=40 * 30 - 1)
    assert only.failure is not None and only.failure.kind == "too-large"
    monkeypatch.setattr(animations, "MAX_FRAMES", 2)
    found = list(frames(path))
    assert [one.path.frame for one in found] == [0, 1, 2]
    assert found[2].failure is not None and found[2].failure.kind == "too-large"
