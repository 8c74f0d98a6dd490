"""Filters, activations and dreams."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import UsageError
from cnnkit.explanation.activations import Activation, Activations, activation_tiles
from cnnkit.explanation.dream import COLORS, Aim, _Canvas, aims, dream, movement
from cnnkit.explanation.filters import Filters, filter_tiles, filters_of
from cnnkit.explanation.sheets import SheetTile, sheet, square
from tests.explanation.small import opened, some_images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("model"), "nested")


def test_the_first_filters_are_shown_in_color(bundle):
    filters = filters_of(bundle)
    assert filters.layer == "base/first" and filters.in_color
    assert filters.kernel.shape == (3, 3, 3, 4)
    tiles, _ = filter_tiles(filters)
    assert [tile.caption for tile in tiles] == ["0", "1", "2", "3"]
    deeper = filters_of(bundle, "second")
    assert not deeper.in_color
    tiles, columns = filter_tiles(deeper)
    assert (len(tiles), columns, tiles[5].caption) == (6 * 4, 4, "1.1")
    with pytest.raises(UsageError, match="name a layer of the kind Conv2D"):
        filters_of(bundle, "half")


def test_gray_is_zero_and_the_largest_weight_full():
    kernel = np.zeros((3, 3, 3, 1), np.float32)
    kernel[0, 0, 0, 0], kernel[2, 2, 2, 0] = 0.5, -0.25
    ((tile, _),), _ = filter_tiles(Filters("a", kernel, True))
    assert tile.shape == (48, 48, 3)
    assert tile[0, 0].tolist() == [255, 128, 128] and tile[-1, -1].tolist() == [128, 128, 64]


def test_the_channels_of_each_stage_strongest_first(bundle, tmp_path):
    Image.fromarray(some_images(1)[0]).save(tmp_path / "a.png")
    activations = Activations(bundle)
    assert activations.layers == ["base/first", "base/second_activation"]
    image, answers = activations.of(str(tmp_path / "a.png"))
    assert image.shape == (16, 16, 3)
    assert [answer.output.shape for answer in answers] == [(16, 16, 4), (8, 8, 6)]
    strength = answers[1].output.max(axis=(0, 1))
    order = [int(tile.caption) for tile in activation_tiles(answers[1], 3)]
    assert strength[order].tolist() == sorted(strength, reverse=True)[:3]
    dead = activation_tiles(Activation("a", np.zeros((2, 2, 1), np.float32)))
    assert np.ptp(dead[0].pixels) < 10


def test_a_dream_excites_and_is_the_same_for_the_same_seed(bundle):
    (aim,) = aims(bundle, (), "second_activation", [2])
    image, values = dream(bundle, aim, steps=25)
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    assert values[-1] > 2 * values[0]
    again, _ = dream(bundle, aim, steps=25)
    assert np.array_equal(image, again)
    (label,) = aims(bundle, ("class_1",), None, [])
    _, logits = dream(bundle, label, steps=15)
    assert logits[-1] > logits[0]


def test_a_dream_of_nothing_and_of_what_is_not_there(bundle):
    with pytest.raises(UsageError, match="have `classes`, or `units`"):
        aims(bundle, (), None, [])
    with pytest.raises(UsageError, match="`units` must be from 0 to 5"):
        aims(bundle, (), "second_activation", [0, 6])
    with pytest.raises(UsageError, match="`units` must be from 0 to 5"):
        dream(bundle, Aim("", "second_activation", 6), steps=1)
    (aim,) = aims(bundle, (), "second_activation", [0])
    with pytest.raises(UsageError, match="`steps` must lie between"):
        dream(bundle, aim, steps=0)


def test_waves_make_an_image_of_correlated_colors():
    canvas = _Canvas(8, 12)
    waves = np.zeros((2, 1, 3, 8, 12), np.float32)
    assert np.allclose(np.asarray(canvas.image(waves)), 0.5)
    waves[0, 0, 0, 0, 0] = 1.0  # the mean of the first color: every pixel alike
    image = np.asarray(canvas.image(waves))[0]
    assert np.ptp(image.reshape(-1, 3), axis=0).max() < 1e-6
    logit = np.log(image[0, 0] / (1 - image[0, 0]))
    np.testing.assert_allclose(logit / logit[0], np.array(COLORS)[:, 0] / COLORS[0][0], rtol=1e-3)


def test_movements_are_small():
    random = np.random.default_rng(0)
    for _ in range(50):
        a, b, c, d, e, f, g, h = movement(random, 20, 30)[0]
        center = np.array([a * 14.5 + b * 9.5 + c - 14.5, d * 14.5 + e * 9.5 + f - 9.5])
        assert np.abs(center).max() <= 30 * 0.06 + 1e-4 and (g, h) == (0, 0)
        assert 0.9 < np.hypot(a, d) < 1.1


def test_sheets():
    tiles = [SheetTile(np.full((10, 12, 3), 9, np.uint8), str(n)) for n in range(5)]
    page = sheet(tiles, "title", "note", columns=3)
    assert (page == 9).all(axis=2).sum() == 5 * 120
    assert square(np.zeros((10, 20, 3), np.uint8), 8)[0, 0].tolist() == [127] * 3
