from __future__ import annotations

import numpy as np
import pytest

from cnnkit.data.mixing import cutmix, mixup

LABELS = np.eye(4, dtype=np.float32)


def flat_images(height: int = 20, width: int = 30) -> np.ndarray:
    """Return four images of one level each: 0, 60, 120 and 180."""
    levels = np.array([0, 60, 120, 180], np.uint8)[:, None, None, None]
    return np.broadcast_to(levels, (4, height, width, 3)).copy()


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize("seed", range(20))
def test_labels_follow_the_pixels(mix, seed: int) -> None:
    images, labels = flat_images(), LABELS
    mixed, targets = mix(images, labels, np.random.default_rng(seed))
    assert (mixed.dtype, mixed.shape) == (np.uint8, images.shape)
    assert (targets.dtype, targets.shape) == (np.float32, labels.shape)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    # The mean level of a mixture of flat images is the mixture of their levels.
    expected = targets @ np.array([0, 60, 120, 180])
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), expected, atol=0.51)


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_the_same_seed_mixes_alike_and_the_batch_stays_as_it_is(mix) -> None:
    images = flat_images()
    first = mix(images, LABELS, np.random.default_rng(1))
    again = mix(images, LABELS, np.random.default_rng(1))
    other = mix(images, LABELS, np.random.default_rng(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()
    np.testing.assert_array_equal(images, flat_images())


def test_cutmix_pastes_a_rectangle() -> None:
    for seed in range(10):
        mixed, _ = cutmix(flat_images(), LABELS, np.random.default_rng(seed))
        changed = (mixed != flat_images()).any((0, 3))
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed.sum() == len(rows) * len(columns)
        if len(rows):
            assert rows[-1] - rows[0] + 1 == len(rows)


def test_a_small_alpha_of_mixup_leaves_one_image_in_charge() -> None:
    weights = [
        mixup(flat_images(), LABELS, np.random.default_rng(seed), alpha=0.01)[1].max()
        for seed in range(30)
    ]
    assert np.median(weights) > 0.99
