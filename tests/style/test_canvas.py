from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.style.canvas import (
    BORDER,
    SHIFT,
    SHIFTS,
    folded,
    mirrored,
    resized,
    tile_patches,
    whole_patch,
)


@given(st.integers(5, 20), st.integers(5, 20), st.integers(1, 4), st.integers(0, 999))
def test_folding_is_the_adjoint_of_mirroring(height, width, border, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(height, width, 3))
    canvas = mirrored(x, border)
    y = random.normal(size=canvas.shape)
    expected = np.sum(canvas * y)
    np.testing.assert_allclose(np.sum(x * folded(y.copy(), border)), expected, rtol=1e-9)


@given(st.integers(64, 300), st.integers(64, 300), st.integers(32, 150), st.data())
def test_tiles_cover_an_image_once_and_have_one_size(height, width, tile, data):
    halo = min(48, height - 1 - SHIFT, width - 1 - SHIFT)
    shift = data.draw(st.tuples(st.integers(0, tile - 1), st.integers(0, tile - 1)))
    phase = data.draw(st.sampled_from(SHIFTS))
    numbers = np.arange(height * width, dtype=np.float64).reshape(height, width, 1)
    canvas = mirrored(numbers, halo + SHIFT)
    seen, sizes = [], set()
    for patch in tile_patches(height, width, tile, halo, shift, phase):
        pixels = patch.of(canvas)
        sizes.add(pixels.shape)
        assert patch.core_rows.start >= halo <= pixels.shape[1] - patch.core_rows.stop
        assert patch.core_columns.start >= halo <= pixels.shape[2] - patch.core_columns.stop
        seen.append(pixels[0, patch.core_rows, patch.core_columns].ravel())
    assert len(sizes) == 1
    assert sorted(np.concatenate(seen)) == list(range(height * width))


def test_whole_patches_hold_the_image_at_every_shift():
    pixels = np.random.default_rng(0).normal(size=(70, 90, 3))
    canvas = mirrored(pixels, BORDER)
    for shift in SHIFTS:
        patch = whole_patch(70, 90, shift)
        found = patch.of(canvas)
        assert found.shape == (1, 70 + 2 * BORDER - SHIFT, 90 + 2 * BORDER - SHIFT, 3)
        np.testing.assert_array_equal(found[0, patch.core_rows, patch.core_columns], pixels)
    assert {(y % 4) for y, _ in SHIFTS} == {(x % 4) for _, x in SHIFTS} == {0, 1, 2, 3}


def test_resizing_keeps_the_mean_and_the_channels():
    pixels = np.random.default_rng(1).uniform(0, 255, (64, 96, 1))
    small = resized(pixels, 32, 48)
    assert small.shape == (32, 48, 1) and small.dtype == np.float32
    np.testing.assert_allclose(small.mean(), pixels.mean(), rtol=1e-4)
    assert resized(pixels, 128, 192).shape == (128, 192, 1)
    spike = np.zeros((8, 8, 1))
    spike[4, 4] = 1
    assert resized(spike, 13, 13).min() < 0  # bicubic overshoots, which no second moment may
    assert resized(spike, 13, 13, cv2.INTER_LINEAR).min() == 0
