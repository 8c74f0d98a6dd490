"""Batches of P people with K photos, and splits by person."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.data import Shares
from cnnkit.data.identities import IdentityLoader, identity_split
from cnnkit.errors import UsageError
from cnnkit.runtime.processes import Share


def images(counts: list[int]) -> SimpleNamespace:
    """Return people with so many photos each; a photo's pixels are its number."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    numbers = np.arange(len(labels))[:, None, None, None]
    pixels = np.zeros((len(labels), 2, 2, 3), np.uint8) + numbers

    class Photos(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.labels)

    return Photos(pixels=pixels.astype(np.uint8), labels=labels, indices=np.arange(len(labels)))


@given(
    counts=st.lists(st.integers(2, 9), min_size=2, max_size=8),
    people=st.integers(2, 6),
    each=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_every_batch_has_p_people_with_k_photos(counts, people, each, seed):
    with IdentityLoader(
        images(counts), people * each, photos_each=each, training=True, seed=seed, workers=1
    ) as loader:
        present = min(people, len(counts))
        for step in range(loader.steps):
            batch = loader.batch(0, step)
            _, found = np.unique(batch.labels, return_counts=True)
            assert (len(found), set(found)) == (present, {each})
            assert (batch.weights == 1).all()


def test_an_epoch_shows_each_photo_about_once():
    with IdentityLoader(
        images([12] * 6), 12, photos_each=4, training=True, seed=1, workers=1
    ) as loader:
        assert loader.steps == 6
        shown = np.concatenate([loader.batch(0, n).images[:, 0, 0, 0] for n in range(6)])
        assert sorted(shown) == list(range(72))
        again = np.concatenate([loader.batch(1, n).images[:, 0, 0, 0] for n in range(6)])
        assert (shown != again).any()
        np.testing.assert_array_equal(loader.batch(0, 3).images, shown_batch(shown, 3))


def shown_batch(shown: np.ndarray, step: int) -> np.ndarray:
    part = shown[12 * step : 12 * step + 12]
    return np.zeros((12, 2, 2, 3), np.uint8) + part[:, None, None, None]


def test_validation_is_drawn_once_and_for_all():
    with IdentityLoader(
        images([5] * 4), 8, photos_each=2, training=False, seed=0, workers=1
    ) as loader:
        for step in range(loader.steps):
            first, second = loader.batch(0, step), loader.batch(7, step)
            np.testing.assert_array_equal(first.images, second.images)


def test_people_with_one_photo_take_no_part():
    with IdentityLoader(images([1, 4, 1, 4]), 8, photos_each=2, training=True, workers=1) as loader:
        assert set(loader.batch(0, 0).labels) == {1, 3}
    with pytest.raises(UsageError, match="at least 2 people with 2 photos"):
        IdentityLoader(images([1, 4, 1]), 8, photos_each=2, training=True, workers=1)


def test_nobody_is_in_two_splits_whatever_the_order():
    names = [f"person {n}" for n in range(20)]
    labels = np.repeat(np.arange(20), 3)
    splits = identity_split(labels, names, Shares(0.2, 0.1), seed=4)
    by_person = splits.reshape(20, 3)
    assert (by_person == by_person[:, :1]).all()
    assert np.bincount(by_person[:, 0]).tolist() == [14, 4, 2]
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(
        identity_split(labels[order], names, Shares(0.2, 0.1), seed=4), splits[order]
    )


def test_people_with_one_photo_are_learned_from():
    labels = np.array([0, 1, 1, 2, 2, 3, 3, 4, 4])
    splits = identity_split(labels, list("abcde"), Shares(0.5))
    assert splits[0] == 0
    assert np.bincount(splits[1:]).tolist() == [4, 4]


def test_too_few_people():
    with pytest.raises(UsageError, match="at least 4 people with 2 photos"):
        identity_split(np.array([0, 0, 1, 1, 2, 2, 3]), list("abcd"), Shares(0.2))


def test_devices_get_equal_parts_of_a_batch_or_there_is_none():
    with IdentityLoader(images([6] * 5), 15, photos_each=3, training=True, multiple=2) as loader:
        assert loader.batch_size == 12  # of 4 people in place of 5
        whole = loader.batch(0, 0)
        parts = [loader.batch(0, 0, Share(part, 2)) for part in range(2)]
    joined = np.concatenate([part.images for part in parts])
    np.testing.assert_array_equal(joined, whole.images)
    with pytest.raises(UsageError, match="that 7 devices can share"):
        IdentityLoader(images([6] * 5), 15, photos_each=3, training=True, multiple=7)
