"""Painting in one pass: tiles that join, styles that blend, images of every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError
from cnnkit.runtime import RuntimeOptions
from cnnkit.style import one_pass
from cnnkit.style.one_pass import HALO, OnePassPainter, blended, cuts, mirrored_to_grid, tiles
from tests.style.painters import drawn, write_painter

sides = st.integers(1, 700)


@given(sides, sides, st.integers(1, 60).map(lambda n: 4 * n))
def test_kept_parts_cover_the_image_once(height: int, width: int, side: int) -> None:
    seen = np.zeros((height, width), int)
    for tile in tiles(height, width, side):
        seen[tile.kept_rows, tile.kept_columns] += 1
        for span, kept, length in (
            (tile.rows, tile.kept_rows, height),
            (tile.columns, tile.kept_columns, width),
        ):
            assert span.start % 4 == 0  # on the network's own grid
            assert span.start == max(0, kept.start - HALO)
            assert span.stop == min(length, kept.stop + HALO)
    assert (seen == 1).all()


@given(sides, sides)
def test_the_grid_is_reached_by_mirroring(height: int, width: int) -> None:
    pixels = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8)
    pixels = pixels.reshape(height, width, 3)
    padded = mirrored_to_grid(pixels)
    assert padded.shape[0] % 4 == padded.shape[1] % 4 == 0 and min(padded.shape[:2]) >= 16
    np.testing.assert_array_equal(padded[:height, :width], pixels)
    assert padded.shape[0] - height < 16 and padded.shape[1] - width < 16


@given(st.integers(16, 5000), st.integers(16, 5000))
def test_cuts_are_few_and_from_all_over(height: int, width: int) -> None:
    pixels = np.broadcast_to(np.uint8(7), (height, width, 3))
    laid = cuts(pixels)
    assert laid.shape[0] % 4 == laid.shape[1] % 4 == 0
    assert laid.shape[0] * laid.shape[1] <= 64 * 128 * 128
    assert laid.shape[0] * laid.shape[1] >= min(64 * 128 * 128, height * width) / 8


def test_a_style_between_others_is_their_weighted_mean() -> None:
    one, two, own = np.full(100, 1.0), np.full(100, 4.0), np.full(100, 0.0)
    assert np.allclose(blended([one, two], [2, 1]), 2.0)
    assert np.allclose(blended([one, two], [2, 1], own, 0.25), 0.5)
    assert blended([one], [3]).dtype == np.float32


# === A painter of one style ===


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> OnePassPainter:
    folder = write_painter(tmp_path_factory.mktemp("painters") / "small")
    return OnePassPainter(open_model(str(folder)), RuntimeOptions("cpu", "tensorflow"))


def test_a_trained_bundle_has_its_own_style(painter: OnePassPainter) -> None:
    assert not painter.reads_styles
    assert (painter.runtime, painter.precision) == ("tensorflow", "float32")


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (17, 30), (64, 64)])
def test_every_size_comes_out_as_it_went_in(painter: OnePassPainter, size) -> None:
    painted = painter.painted(drawn(*size))
    assert painted.shape == (*size, 3) and painted.dtype == np.uint8


def test_tiles_with_the_whole_images_statistics_are_the_whole_image(
    painter: OnePassPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = drawn(203, 331)
    whole = painter.painted(image, tile=0).astype(int)
    monkeypatch.setattr(one_pass, "cuts", mirrored_to_grid)
    tiled = painter.painted(image, tile=64).astype(int)
    assert np.abs(whole - tiled).max() <= 1  # rounding to whole colors
    assert np.ptp(whole) > 30


def test_tiles_join_without_a_seam(painter: OnePassPainter) -> None:
    """A step across the seams is no larger than one a pixel beside them."""
    painted = painter.painted(drawn(256, 256), tile=64).astype(int)
    steps = np.abs(np.diff(painted, axis=1)).mean(axis=(0, 2))  # between columns
    seams, beside = steps[63::64], np.concatenate([steps[60::64], steps[66::64]])
    assert seams.mean() < 1.25 * beside.mean()


def test_only_large_images_are_tiled() -> None:
    assert one_pass.tile_side(2000, 2000, None) is None
    assert one_pass.tile_side(2001, 2000, None) == one_pass.TILE
    assert one_pass.tile_side(9000, 9000, 0) is None
    assert one_pass.tile_side(300, 200, 254) == 256


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a model for the task stylize"):
        OnePassPainter(open_model("squeezenet-1.1"))


# === Any style ===


@pytest.fixture(scope="module")
def any_style() -> OnePassPainter:
    return OnePassPainter(open_model("magenta-style"), RuntimeOptions("cpu", "tensorflow"))


def test_another_style_paints_another_image(any_style: OnePassPainter) -> None:
    content = drawn(48, 64)
    calm = any_style.style_of(np.full((300, 200, 3), (30, 60, 160), np.uint8))
    wild = any_style.style_of(drawn(120, 500, seed=3))
    assert any_style.reads_styles and calm.shape == wild.shape == (100,)
    painted = [any_style.painted(content, style).astype(int) for style in (calm, wild)]
    assert np.abs(painted[0] - painted[1]).mean() > 5
    half = any_style.painted(content, blended([calm, wild], [1, 1])).astype(int)
    for one in painted:
        assert np.abs(half - one).mean() < np.abs(painted[0] - painted[1]).mean()


def test_a_larger_scale_is_another_look_at_the_style(any_style: OnePassPainter) -> None:
    style = drawn(300, 400, seed=5)
    small, large = any_style.style_of(style, 0.5), any_style.style_of(style, 2.0)
    assert np.abs(small - large).max() > 0.05


def test_in_int8_styles_are_read_in_float32_and_images_stay_near() -> None:
    exact, own = (
        OnePassPainter(open_model("magenta-style"), RuntimeOptions(precision=precision))
        for precision in ("float32", "int8")
    )
    assert own.precision.startswith("int8")
    style = exact.style_of(drawn(120, 500, seed=3))
    np.testing.assert_array_equal(own.style_of(drawn(120, 500, seed=3)), style)
    content = drawn(96, 128)
    for tile in (0, 64):
        squares = (
            np.subtract(
                exact.painted(content, style, tile), own.painted(content, style, tile), dtype=float
            )
            ** 2
        )
        assert 0 < squares.mean() < 40  # 32 dB


@pytest.mark.slow
def test_a_photo_in_tiles_is_near_the_same_photo_whole(any_style, examples) -> None:
    from PIL import Image

    with Image.open(examples / "cat.jpg") as opened:
        photo = np.asarray(opened.convert("RGB").resize((900, 600)))
    style = any_style.style_of(drawn(300, 400, seed=5))
    whole = any_style.painted(photo, style, tile=0).astype(int)
    tiled = any_style.painted(photo, style, tile=256).astype(int)
    assert np.abs(whole - tiled).mean() < 6
