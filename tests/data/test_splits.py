from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from cnnkit.data import Dataset, LabeledFile, Shares, assign_splits
from cnnkit.data.splits import TEST, TRAIN, VALIDATION, stratified_split
from cnnkit.errors import UsageError

CLASSES = ("cat", "dog", "fox", "owl")


@st.composite
def labeled_images(draw, least: int = 2) -> np.ndarray:
    counts = draw(st.lists(st.integers(least, 30), min_size=2, max_size=4))
    return np.repeat(np.arange(len(counts)), counts)


shares = st.builds(
    Shares,
    st.floats(0.05, 0.6),
    st.sampled_from((0.0, 0.0, 0.1, 0.35)),
)


def names_of(labels: np.ndarray) -> list[str]:
    return [f"{CLASSES[label]}/{number}.jpg" for number, label in enumerate(labels)]


def split(labels, names=None, **options) -> np.ndarray:
    classes = CLASSES[: labels.max() + 1]
    return stratified_split(labels, names or names_of(labels), classes, **options)


@given(labeled_images(least=3), shares, st.integers(0, 2**40))
def test_every_class_gets_its_share_to_the_nearest_image(labels, shares, seed) -> None:
    splits = split(labels, shares=shares, seed=seed)
    assert splits.shape == labels.shape
    assert set(np.unique(splits)) == ({0, 1, 2} if shares.test else {0, 1})
    for label in np.unique(labels):
        mine = splits[labels == label]
        for place, share in ((VALIDATION, shares.validation), (TEST, shares.test)):
            count = int((mine == place).sum())
            trained = len(mine) * (1 - shares.validation - shares.test)
            # Half an image is the rounding; small classes give up to one more to the splits
            # that would have none.
            limit = 0.5 if len(mine) * share >= 1 and trained >= 2 else 1.5
            assert abs(count - len(mine) * share) <= limit + 1e-9
        assert (mine == TRAIN).any()
        assert (mine == VALIDATION).any()


@given(labeled_images(), st.integers(0, 99), st.randoms())
def test_the_order_of_the_images_changes_nothing(labels, seed, random) -> None:
    names = names_of(labels)
    expected = dict(zip(names, split(labels, names, seed=seed), strict=True))
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = split(labels[order], [names[i] for i in order], seed=seed)
    assert dict(zip([names[i] for i in order], shuffled, strict=True)) == expected


def test_the_same_seed_divides_alike_and_another_otherwise() -> None:
    labels = np.repeat([0, 1], 50)
    assert (split(labels, seed=3) == split(labels, seed=3)).all()
    assert (split(labels, seed=3) != split(labels, seed=4)).any()


@given(labeled_images(least=6), st.data(), st.integers(0, 99))
def test_groups_are_never_divided(labels, data, seed) -> None:
    """Groups inside a class of at most a third of it, the size that always can be divided."""
    groups = np.arange(len(labels))
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        size = data.draw(st.integers(1, max(1, len(places) // 3)))
        groups[places] = places[0] + np.arange(len(places)) // size
    splits = split(labels, groups=groups, seed=seed)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    for label in np.unique(labels):
        mine = labels == label
        largest = max(np.bincount(groups[mine]))
        target = np.clip(np.floor(mine.sum() * 0.2 + 0.5), 1, mine.sum() - 1)
        assert abs((splits[mine] == VALIDATION).sum() - target) <= largest
        assert {TRAIN, VALIDATION} == set(splits[mine])


@given(labeled_images(), st.data(), st.integers(0, 99))
def test_groups_across_classes_stay_together_or_are_refused(labels, data, seed) -> None:
    count = len(labels)
    groups = np.array(data.draw(st.lists(st.integers(0, count), min_size=count, max_size=count)))
    try:
        splits = split(labels, groups=groups, seed=seed)
    except UsageError as error:
        assert "copies" in str(error)
        return
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    for label in np.unique(labels):
        assert {TRAIN, VALIDATION} == set(splits[labels == label])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 0, 1], {}, "'dog' must have at least 2 images.*Received: 1"),
        ([0, 0, 0, 1, 1], {"shares": Shares(0.2, 0.2)}, "'dog' must have at least 3 images"),
        ([0, 0, 1, 1], {"groups": np.array([0, 1, 2, 2])}, "'dog'.*not copies of one another"),
    ],
)
def test_too_few_images_are_refused(labels, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        split(np.array(labels), **options)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 classes"):
        stratified_split(np.zeros(4, int), list("abcd"), ["cat"])


@pytest.mark.parametrize("values", [(0, 0), (1, 0), (0.6, 0.4), (float("nan"), 0), (0.2, -0.1)])
def test_shares_outside_their_bounds_are_refused(values) -> None:
    with pytest.raises(UsageError, match="must be over 0"):
        Shares(*values)


def dataset(*files: tuple[str, int, str | None]) -> Dataset:
    images = tuple(LabeledFile(f"data/{name}", name, label, of) for name, label, of in files)
    return Dataset("data", "data", ("cat", "dog"), images)


def test_given_splits_are_kept() -> None:
    one = dataset(("a", 0, "train"), ("b", 1, "train"), ("c", 0, "val"), ("d", 1, "test"))
    assert assign_splits(one).tolist() == [0, 0, 1, 2]


def test_validation_is_divided_off_where_only_train_and_test_are_given() -> None:
    files = [(f"{n}", n % 2, "test" if n < 4 else "train") for n in range(24)]
    splits = assign_splits(dataset(*files))
    assert (splits[:4] == TEST).all()
    assert np.bincount(splits[4:], minlength=3).tolist() == [16, 4, 0]


@pytest.mark.parametrize(
    ("shares", "of_data", "name"),
    [
        (Shares(0.3), "val", "validation"),
        (Shares(0.2, 0.1), "val", "test"),
        (Shares(0.2, 0.1), "test", "test"),
    ],
)
def test_shares_of_what_is_divided_are_refused(shares: Shares, of_data: str, name: str) -> None:
    files = [(f"{n}", n % 2, of_data if n < 4 else "train") for n in range(24)]
    with pytest.raises(UsageError, match=f"`{name}` must be left out where the data has splits"):
        assign_splits(dataset(*files), shares=shares)


def test_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(UsageError, match="'dog' must have images in train"):
        assign_splits(dataset(("a", 0, "train"), ("b", 1, "val")))


def test_images_without_a_split_beside_val_are_refused() -> None:
    with pytest.raises(UsageError, match="none for c"):
        assign_splits(dataset(("a", 0, "train"), ("b", 1, "val"), ("c", 1, None)))
