"""The class `Stylizer`: what painters and optimizations have in common for a Python program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.errors import UsageError
from tests.style.painters import drawn, write_painter

STYLE = drawn(64, 64, seed=1)


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painter(tmp_path_factory.mktemp("painters") / "small")


@pytest.fixture(scope="module")
def of_one_style(painter: Path) -> cnnkit.Stylizer:
    return cnnkit.Stylizer.load(painter, runtime="tensorflow", device="cpu")


def test_a_painter_of_one_style_needs_no_style_image(
    of_one_style: cnnkit.Stylizer, painter: Path
) -> None:
    photo = drawn(60, 90)
    result = of_one_style.predict(photo)
    assert (result.height, result.width) == (60, 90)
    assert np.abs(result.pixels.astype(int) - photo).mean() > 1
    with pytest.raises(UsageError, match="`styles` requires a model that reads styles"):
        cnnkit.Stylizer.load(painter, styles=STYLE, runtime="tensorflow", device="cpu")


def test_any_style_needs_one() -> None:
    with pytest.raises(UsageError, match="`styles` is required"):
        cnnkit.Stylizer.load()
    with pytest.raises(UsageError, match="`styles` is required"):
        cnnkit.Stylizer.by_optimization([])
    with pytest.raises(UsageError, match=r"`styles` missing\.jpg cannot be read"):
        cnnkit.Stylizer.load(styles="missing.jpg")


def test_strength_size_and_color_reach_the_painter(painter: Path) -> None:
    stylizer = cnnkit.Stylizer.load(
        painter, strength=0.0, size=45, runtime="tensorflow", device="cpu"
    )
    photo = np.full((60, 90, 3), (10, 200, 90), np.uint8)
    assert np.array_equal(stylizer.predict(photo).pixels, photo[:30, :45])


def test_transparency_is_kept_and_written(of_one_style: cnnkit.Stylizer, tmp_path: Path) -> None:
    photo = np.dstack([drawn(40, 48), np.full((40, 48), 255, np.uint8)])
    photo[:, :24, 3] = 0
    result = of_one_style.predict(photo)
    result.save(tmp_path / "painted.png")
    with Image.open(tmp_path / "painted.png") as image:
        written = np.asarray(image)
    assert np.array_equal(written[..., 3], photo[..., 3])
    assert np.array_equal(written[:, 24:, :3], result.pixels[:, 24:])
    Image.fromarray(photo).save(tmp_path / "photo.png")
    for other in (tmp_path / "photo.png", Image.open(tmp_path / "photo.png")):
        assert np.array_equal(of_one_style.predict(other).pixels, result.pixels)
    with pytest.raises(UsageError, match=r"`path` must end in one of \.png"):
        result.save(tmp_path / "painted.gif")


def test_an_optimization_comes_closer_to_the_style_step_by_step() -> None:
    told: list[tuple[int, int, float]] = []
    stylizer = cnnkit.Stylizer.by_optimization(
        [STYLE, Image.fromarray(drawn(64, 64, seed=2))],
        style_weights=[2, 1],
        size=64,
        steps=6,
        watch=lambda position, progress: told.append((position, progress.step, progress.style)),
    )
    first, second = stylizer.predict([drawn(64, 64), drawn(64, 64)])
    assert [(position, step) for position, step, _ in told] == [
        (position, step) for position in (1, 2) for step in range(1, 7)
    ]
    assert told[5][2] < told[0][2]
    assert np.array_equal(first.pixels, second.pixels)
    assert first.to_dict()["steps"] == 6
    assert first.pixels.shape == (64, 64, 3)
