from __future__ import annotations

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.training import ArrayBatches, train
from tests.training.small import examples, makers, plan, small_network


def taken(batches: ArrayBatches, **options: object) -> list[tuple[np.ndarray, ...]]:
    return [tuple(map(np.asarray, batch)) for batch in batches.dataset(**options)]


def test_an_epoch_of_training_is_shuffled_and_has_whole_batches() -> None:
    inputs = np.arange(11, dtype=np.float32)[:, None]
    batches = ArrayBatches(inputs, np.arange(11), 4, training=True, seed=1)
    first, second = taken(batches), taken(batches, first_epoch=1)
    assert batches.steps == len(first) == len(second) == 2
    for epoch in (first, second):
        labels = np.concatenate([batch[1] for batch in epoch])
        assert len(set(labels)) == 8
        for batch_inputs, batch_labels, weights in epoch:
            np.testing.assert_array_equal(batch_inputs[:, 0], batch_labels)
            np.testing.assert_array_equal(weights, np.ones(4))
    assert not np.array_equal(first[0][1], second[0][1])


def test_an_epoch_does_not_depend_on_where_one_begins() -> None:
    batches = ArrayBatches(np.zeros((9, 1)), np.arange(9), 2, training=True, seed=1)
    run, later = taken(batches, epochs=3), taken(batches, first_epoch=2)
    np.testing.assert_array_equal([b[1] for b in run[8:]], [b[1] for b in later])
    endless = [b[1] for b, _ in zip(batches.dataset(epochs=None), range(12), strict=False)]
    np.testing.assert_array_equal(endless, [b[1] for b in run])


def test_validation_has_every_example_once_in_order() -> None:
    batches = ArrayBatches(np.zeros((5, 2)), np.arange(5), 2, training=False)
    labels, weights = (np.concatenate(x) for x in list(zip(*taken(batches), strict=True))[1:])
    np.testing.assert_array_equal(labels[weights == 1], np.arange(5))
    assert len(labels) == 6 and weights.sum() == 5


@pytest.mark.usefixtures("eager")
def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = ArrayBatches(np.zeros((3, 2)), np.arange(3), 32, training=True)
    assert (batches.batch_size, batches.steps) == (3, 1)
    assert train(small_network(), *makers(3), plan(1)).history[0].epoch == 1


def test_nothing_or_unequal_numbers_are_refused() -> None:
    for inputs, labels in ((np.zeros((0, 1)), np.zeros(0)), (np.zeros((2, 1)), np.zeros(3))):
        with pytest.raises(UsageError, match="must have the same length"):
            ArrayBatches(inputs, labels, 1, training=True)


@pytest.mark.usefixtures("eager")
def test_the_loader_of_images_fits_in(tmp_path) -> None:
    """`cnnkit.data.loaders.Loader` has the form that training asks for."""
    import cv2

    from cnnkit.data.decoded import DecodedImages
    from cnnkit.data.loaders import Loader
    from cnnkit.images.prepare import InputSpec

    images, labels = examples(20, 1)
    paths = []
    for number, image in enumerate(images):
        paths.append(str(tmp_path / f"{number:02d}.png"))
        cv2.imwrite(paths[-1], np.repeat(image, 3, axis=2))
    spec = InputSpec(6, 6, fit="stretch")
    with DecodedImages(paths, labels.tolist(), spec) as decoded:
        import keras

        image = keras.Input((6, 6, 3))
        gray = keras.layers.Conv2D(1, 1, name="gray")(image)
        model = keras.Model(image, small_network()(gray))
        result = train(
            model,
            lambda size: Loader(decoded, size, training=True),
            lambda size: Loader(decoded, size, training=False),
            plan(2),
        )
    assert len(result.history) == 2 and np.isfinite(result.best.val_loss)
