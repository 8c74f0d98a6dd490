from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cnnkit.data.augment import Augmenter
from cnnkit.data.decoded import DecodedImages, MaxBad
from cnnkit.data.loaders import Loader, Mixing
from cnnkit.data.mixing import cutmix
from cnnkit.data.recipes import Recipe, read_recipe
from cnnkit.errors import UsageError
from cnnkit.images import InputSpec
from cnnkit.runtime.processes import Share
from tests.data.images import save, scene

COUNT = 11
SPEC = InputSpec(16, 20, "stretch")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    return [str(save(folder / f"{n:02}.png", scene(n))) for n in range(COUNT)]


@pytest.fixture(scope="module")
def decoded(paths: list[str]) -> Iterator[DecodedImages]:
    with DecodedImages(paths, [n % 3 for n in range(COUNT)], SPEC) as images:
        yield images


def places(images: np.ndarray, decoded: DecodedImages) -> list[int]:
    """Return which of the set's images those of a batch are."""
    known = {pixels.tobytes(): place for place, pixels in enumerate(decoded.pixels)}
    return [known[pixels.tobytes()] for pixels in images]


def test_validation_gives_every_image_once_in_order_and_batches_of_one_size(decoded) -> None:
    augmenter = Augmenter(read_recipe("strong"))  # and never augments
    with Loader(decoded, 4, training=False, augmenter=augmenter) as loader:
        batches = list(loader.batches())
    assert [b.images.shape for b in batches] == [(4, 16, 20, 3)] * 3
    weights = np.concatenate([b.weights for b in batches])
    np.testing.assert_allclose(weights, [12 / 11] * 11 + [0], rtol=1e-6)
    seen = places(np.concatenate([b.images for b in batches]), decoded)
    assert seen[:11] == list(range(11))
    assert np.concatenate([b.labels for b in batches])[:11].tolist() == decoded.labels.tolist()


def test_training_shuffles_anew_each_epoch_and_leaves_out_what_fills_no_batch(decoded) -> None:
    with Loader(decoded, 4, training=True, seed=5) as loader:
        assert loader.steps == 2
        epochs = [
            [p for b in loader.batches(epoch) for p in places(b.images, decoded)]
            for epoch in range(30)
        ]
        labels = next(loader.batches(0)).labels
    assert all(len(set(order)) == 8 for order in epochs)
    assert len({tuple(order) for order in epochs}) == 30
    assert {place for order in epochs for place in order} == set(range(11))
    assert labels.tolist() == [decoded.labels[p] for p in epochs[0][:4]]


def test_a_set_smaller_than_a_batch_is_one_batch(decoded) -> None:
    with Loader(decoded, 64, training=True) as loader:
        (batch,) = loader.batches()
    assert sorted(places(batch.images, decoded)) == list(range(11))
    assert batch.weights.tolist() == [1] * 11


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_augmented_batches_are_the_same_with_any_number_of_workers(decoded, workers: int) -> None:
    augmenter = Augmenter(read_recipe("strong"), seed=3)
    with Loader(decoded, 4, training=True, augmenter=augmenter, seed=3, workers=workers) as loader:
        got = [b.images for epoch in (0, 1) for b in loader.batches(epoch)]
        order = np.random.default_rng((3, 1)).permutation(COUNT)
        expected = augmenter(decoded.pixels[order[0]], 1, int(order[0]))
        np.testing.assert_array_equal(got[2][0], expected)
        again = loader.batch(1, 0).images
        np.testing.assert_array_equal(got[2], again)
        for place, pixels in zip(order[:4], again, strict=True):
            np.testing.assert_array_equal(pixels, augmenter(decoded.pixels[place], 1, int(place)))


def test_a_bad_image_changes_nothing_for_the_others(paths: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    augmenter = Augmenter(read_recipe("light"))
    several = [paths[0], str(bad), paths[2]]
    with (
        DecodedImages(several, [0, 0, 0], SPEC, max_bad=MaxBad(count=1)) as fewer,
        Loader(fewer, 2, training=True, augmenter=augmenter) as loader,
    ):
        drawn = {pixels.tobytes() for pixels in loader.batch(0, 0).images}
        assert drawn == {
            augmenter(fewer.pixels[0], 0, 0).tobytes(),
            augmenter(fewer.pixels[1], 0, 2).tobytes(),
        }


def test_mixed_batches_have_shares_of_classes(decoded) -> None:
    mixing = Mixing(cutmix, classes=3)
    with Loader(decoded, 4, training=True, mixing=mixing, seed=1) as loader:
        first, again, later = loader.batch(0, 0), loader.batch(0, 0), loader.batch(1, 0)
    assert (first.labels.shape, first.labels.dtype) == ((4, 3), np.float32)
    np.testing.assert_allclose(first.labels.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(first.images, again.images)
    assert (first.images != later.images).any()


@pytest.mark.parametrize("mixing", [None, Mixing(cutmix, 3)], ids=["plain", "mixed"])
@pytest.mark.parametrize("training", [True, False])
def test_tensorflow_gets_the_same_batches_with_fixed_shapes(decoded, training, mixing) -> None:
    pytest.importorskip("tensorflow")
    augmenter = Augmenter(read_recipe("light"), seed=2)
    options = {"training": training, "augmenter": augmenter, "mixing": mixing, "seed": 2}
    with Loader(decoded, 4, **options) as loader:
        dataset = loader.dataset(first_epoch=1, epochs=2)
        shapes = [tuple(part.shape) for part in dataset.element_spec]
        classes = (3,) if training and mixing else ()
        assert shapes == [(4, 16, 20, 3), (4, *classes), (4,)]
        got = [tuple(part.numpy() for part in batch) for batch in dataset]
        expected = [batch for epoch in (1, 2) for batch in loader.batches(epoch)]
        assert len(got) == len(expected) == 2 * loader.steps
        for one, other in zip(got, expected, strict=True):
            for mine, plain in zip(one, other, strict=True):
                assert mine.dtype == plain.dtype
                np.testing.assert_array_equal(mine, plain)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mixing", [None, Mixing(cutmix, 3)])
def test_shares_of_a_batch_make_up_the_batch(decoded, training, mixing) -> None:
    augmenter = Augmenter(read_recipe("light"))
    options = {"training": training, "augmenter": augmenter, "mixing": mixing, "seed": 3}
    with Loader(decoded, 4, **options) as loader:
        for step, whole in enumerate(loader.batches(1)):
            parts = [loader.batch(1, step, Share(part, 2)) for part in range(2)]
            assert all(len(part.images) == 2 for part in parts)
            for name in whole._fields:
                joined = np.concatenate([getattr(part, name) for part in parts])
                np.testing.assert_array_equal(joined, getattr(whole, name))


def test_keras_fits_on_an_endless_dataset(decoded) -> None:
    from cnnkit.runtime import import_keras

    keras = import_keras()
    if keras.config.backend() != "tensorflow":
        pytest.skip("needs Keras on TensorFlow")
    inputs = keras.Input((16, 20, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, weighted_metrics=["accuracy"], jit_compile=True)
    with (
        Loader(decoded, 4, training=True) as training,
        Loader(decoded, 4, training=False) as validation,
    ):
        history = model.fit(
            training.dataset(epochs=None),
            steps_per_epoch=training.steps,
            validation_data=validation.dataset(),
            epochs=3,
            shuffle=False,
            verbose=0,
        ).history
    assert len(history["loss"]) == len(history["val_loss"]) == 3
    logits = model.predict(decoded.pixels, verbose=0)
    expected = float(loss(decoded.labels, logits))
    # The images that fill up the last batch count for nothing.
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)
    accuracy = np.mean(logits.argmax(1) == decoded.labels)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)


def test_what_stopped_a_dataset_is_kept(decoded) -> None:
    tf = pytest.importorskip("tensorflow")

    def build(height: int, width: int, boxes: bool) -> list:
        raise ValueError("a transform that does not fit")

    with Loader(decoded, 4, training=True, augmenter=Augmenter(Recipe("mine", build))) as loader:
        with pytest.raises(tf.errors.OpError):
            list(loader.dataset())
        assert "the recipe mine must fit every image" in str(loader.error)
        with pytest.raises(UsageError, match="mine must fit every image"):
            list(loader.batches())


def test_a_batch_size_under_one_and_an_empty_set_are_refused(decoded, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`batch_size` must be at least 1"):
        Loader(decoded, 0, training=True)
    with DecodedImages([], [], SPEC) as none, pytest.raises(UsageError, match="none"):
        Loader(none, 4, training=True)


def test_the_plain_form_needs_no_tensorflow() -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import cnnkit.data.loaders, cnnkit.data.decoded, cnnkit.diagnosis.classes\n"
        "import cnnkit.data.augment, cnnkit.data.recipes\n"
        "assert 'albumentations' not in sys.modules and 'keras' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
