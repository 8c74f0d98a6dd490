from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit import build, image_dataset
from cnnkit.errors import UsageError
from tests.data.images import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", {"cat": 10, "dog": 10})


def arrays(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return one pass over a dataset as one array of images and one of labels."""
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def test_each_pass_is_an_epoch_of_its_own_and_the_seed_decides(photos: Path) -> None:
    dataset = image_dataset(photos, size=32, batch_size=5, augment="light", seed=3)
    assert dataset.class_names == ["cat", "dog"]
    assert int(dataset.cardinality()) == 4
    first, second = arrays(dataset), arrays(dataset)
    assert first[0].shape == (20, 32, 32, 3) and first[0].dtype == np.uint8
    assert sorted(first[1]) == sorted(second[1]) == [0] * 10 + [1] * 10
    assert (first[1] != second[1]).any()
    again = arrays(image_dataset(photos, size=32, batch_size=5, augment="light", seed=3))
    assert (again[0] == first[0]).all() and (again[1] == first[1]).all()


def test_the_splits_share_no_image_and_validation_is_whole_and_plain(photos: Path) -> None:
    train = arrays(image_dataset(photos, split="train", size=32, batch_size=4))
    dataset = image_dataset(photos, split="val", size=32, batch_size=3, augment="strong")
    held_out, same = arrays(dataset), arrays(dataset)
    assert (len(train[1]), len(held_out[1])) == (16, 4)
    assert (held_out[0] == same[0]).all()
    seen = {image.tobytes() for image in train[0]}
    assert len(seen) == 16
    assert not seen & {image.tobytes() for image in held_out[0]}


def test_a_network_is_fitted_with_it(photos: Path) -> None:
    import keras

    model = build("lenet-5", input_shape=(32, 32, 3), classes=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    history = model.fit(
        image_dataset(photos, split="train", size=32, batch_size=4, augment="light"),
        validation_data=image_dataset(photos, split="val", size=32, batch_size=3),
        epochs=2,
        verbose=0,
    ).history
    assert np.isfinite(history["loss"]).all() and len(history["val_accuracy"]) == 2


def test_mixed_labels_are_shares_of_classes(photos: Path) -> None:
    _, labels = arrays(image_dataset(photos, size=(24, 40), batch_size=10, mix="mixup"))
    assert labels.shape == (20, 2)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert ((labels > 0.01) & (labels < 0.99)).any()


def test_what_cannot_be_is_refused(photos: Path) -> None:
    with pytest.raises(UsageError, match="be one of train, val, test"):
        image_dataset(photos, split="tset")
    for size in (0, (64, 5000)):
        with pytest.raises(UsageError, match="`size` must be from 1 to 4,096"):
            image_dataset(photos, size=size)
    with pytest.raises(UsageError, match="be one of none, mixup, cutmix"):
        image_dataset(photos, mix="blend")
    with pytest.raises(UsageError, match="at least 1"):
        image_dataset(photos, batch_size=0, size=16)
