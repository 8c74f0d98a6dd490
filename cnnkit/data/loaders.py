"""Batches for training and validation: shuffled, augmented, of one fixed shape.

The order is decode, resize, cache (`cnnkit.data.decoded`), then shuffle, batch, augment and
prefetch (here). A batch is a pure function of the seed, the epoch and its number, so that a
resumed run continues with exactly the next batch, and the batches are the same with and without
TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from cnnkit.data.augment import Augmenter
from cnnkit.errors import CnnkitError, UsageError, broken_rule
from cnnkit.runtime.process import available_cpus, import_keras
from cnnkit.runtime.processes import WHOLE, Share

if TYPE_CHECKING:
    import tensorflow as tf

# Batches to prefetch.
AHEAD = 2

Mixer = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


class Batch(NamedTuple):
    """A batch for a network.

    Attributes:
        images: uint8 (batch, height, width, 3), RGB.
        labels: int32 (batch,), or float32 (batch, classes) if images are mixed.
        weights: float32 (batch,): 0 for padding of the last batch. The others are equal: 1
            without padding, otherwise a little more, so that Keras, which divides by all
            images of a batch, still computes the mean over the real ones. Metrics must be
            Keras's ``weighted_metrics`` to ignore the padding.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Mixing:
    """Mixes the images of a batch with one another.

    Attributes:
        mix: `cnnkit.data.mixing.mixup`, ``cutmix``, or a similar function.
        classes: Number of classes.
    """

    mix: Mixer
    classes: int


class LoadableImages(Protocol):
    """Decoded images for a loader, such as `cnnkit.data.decoded.DecodedImages`."""

    @property
    def pixels(self) -> np.ndarray:
        """uint8 (images, height, width, 3), RGB."""

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, int32 (images,)."""

    @property
    def indices(self) -> np.ndarray:
        """The index of each image in its data set, int64 (images,)."""

    def __len__(self) -> int:
        """Return the number of images."""


AnyBatch = TypeVar("AnyBatch", bound=tuple[Any, ...])


class ImageLoader(ABC, Generic[AnyBatch]):
    """Batches of decoded images of any kind; a context manager, because it has threads.

    Attributes:
        batch_size: Images of each batch.
        training: Whether they are shuffled.
        error: The error that stopped a `dataset`, which TensorFlow does not pass on.
    """

    def __init__(
        self,
        images: LoadableImages,
        batch_size: int,
        *,
        training: bool,
        augmenter: Augmenter | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        """Plan the batches.

        In training, each epoch has its own order, and images that do not fill the last batch
        are omitted from that epoch. A set smaller than a batch is one batch of its own size. In
        validation each image occurs once, in order.

        Args:
            images: The decoded images.
            batch_size: Images per batch, at least 1.
            training: Whether to shuffle.
            augmenter: Applied to each image of a training epoch.
            seed: Seed of the order, 0 or more.
            workers: Threads that augment, by default one per processor.

        Raises:
            UsageError: There are no images, or the batch size is not at least 1.
        """
        if batch_size < 1:
            raise UsageError(broken_rule("`batch_size`", "be at least 1", batch_size))
        if not len(images):
            raise UsageError("There must be an image to load. Received: none.")
        self.batch_size = min(batch_size, len(images))
        self.training = training
        self.error: CnnkitError | None = None
        self._images = images
        self._augmenter = augmenter if training else None
        self._seed = seed
        self._pool = ThreadPoolExecutor(
            workers or available_cpus(), thread_name_prefix="cnnkit-augment"
        )
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def steps(self) -> int:
        """Number of batches in an epoch."""
        count = len(self._images)
        return count // self.batch_size if self.training else -(-count // self.batch_size)

    @abstractmethod
    def batch(self, epoch: int, step: int, share: Share = WHOLE) -> AnyBatch:
        """Return one batch, or a share of it.

        Args:
            epoch: From 0.
            step: From 0 to `steps` - 1.
            share: The part that is returned; `batch_size` is a multiple of their number.
        """

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """Return the indices of an epoch's images; the last order is cached."""
        count = len(self._images)
        if not self.training:
            return np.arange(count)
        known = self._order
        if known is None or known[0] != epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(count)
            self._order = known = (epoch, order)
        return known[1]

    def batches(self, epoch: int = 0, share: Share = WHOLE) -> Iterator[AnyBatch]:
        """Yield the batches of one epoch, or shares of them, prefetched, without TensorFlow."""
        with ThreadPoolExecutor(1, thread_name_prefix="cnnkit-load") as ahead:
            waiting: deque[Future[AnyBatch]] = deque()
            steps = iter(range(self.steps))
            for step in islice(steps, AHEAD):
                waiting.append(ahead.submit(self.batch, epoch, step, share))
            while waiting:
                done = waiting.popleft().result()
                for step in islice(steps, 1):
                    waiting.append(ahead.submit(self.batch, epoch, step, share))
                yield done

    def dataset(self, first_epoch: int = 0, epochs: int | None = 1) -> tf.data.Dataset:
        """Return the batches of some epochs as a tf.data.Dataset of fixed shapes.

        For ``fit``: ``fit(loader.dataset(epochs=None), steps_per_epoch=loader.steps)``.

        Args:
            first_epoch: The epoch to start from, from 0.
            epochs: Number of epochs, or None for no end.
        """
        import_keras()
        import tensorflow as tf

        end = None if epochs is None else (first_epoch + epochs) * self.steps
        numbers = tf.data.Dataset.range(
            first_epoch * self.steps, tf.int64.max if end is None else end
        )

        def make(number: np.ndarray) -> AnyBatch:
            """Return a batch by its number over all epochs."""
            return self.batch(*divmod(int(number), self.steps))

        return self._mapped(numbers, make, self._types(), self._shapes())

    def _mapped(
        self,
        numbers: tf.data.Dataset,
        make: Callable[[np.ndarray], tuple[Any, ...]],
        types: Sequence[str],
        shapes: Sequence[tuple[int | None, ...]],
    ) -> tf.data.Dataset:
        """Return what `make` gives for each number, made ahead."""
        import tensorflow as tf

        def kept(number: np.ndarray) -> tuple[Any, ...]:
            """Keep a fault: TensorFlow hides it."""
            try:
                return make(number)
            except CnnkitError as error:
                self.error = error
                raise

        def load(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Wrap `make` for tf.data and tell the shapes, which it cannot know."""
            parts = tf.numpy_function(kept, [number], types)
            for part, shape in zip(parts, shapes, strict=True):
                part.set_shape(shape)
            return self._structured(parts)

        options = tf.data.Options()
        # With it on, dropping an iterator sometimes blocks for seconds.
        options.autotune.enabled = False
        return numbers.map(load).prefetch(AHEAD).with_options(options)

    @abstractmethod
    def _types(self) -> tuple[str, ...]:
        """Return the dtypes of the parts of a batch, in their order."""

    @abstractmethod
    def _shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Return the shapes of the parts of a batch, in their order."""

    def _structured(self, parts: list[tf.Tensor]) -> tuple[Any, ...]:
        """Return the parts as Keras takes them."""
        return tuple(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Loader(ImageLoader[Batch]):
    """Batches of images with labels and weights; see `ImageLoader`."""

    def __init__(
        self,
        images: LoadableImages,
        batch_size: int,
        *,
        training: bool,
        augmenter: Augmenter | None = None,
        mixing: Mixing | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        """Plan the batches.

        In validation, the last batch is filled up with images of weight 0.

        Args:
            images: The decoded images.
            batch_size: Images per batch, at least 1.
            training: Whether to shuffle.
            augmenter: Applied to each image of a training epoch.
            mixing: Applied to each batch of a training epoch.
            seed: Seed of the order, 0 or more.
            workers: Threads that augment, by default one per processor.

        Raises:
            UsageError: There are no images, or the batch size is not at least 1.
        """
        super().__init__(
            images,
            batch_size,
            training=training,
            augmenter=augmenter,
            seed=seed,
            workers=workers,
        )
        self._mixing = mixing if training else None

    @property
    def _weight(self) -> float:
        """The weight of an image, such that those of an epoch add up to its places."""
        return 1.0 if self.training else self.steps * self.batch_size / len(self._images)

    def batch(self, epoch: int, step: int, share: Share = WHOLE) -> Batch:
        """Return one batch, or a share of it.

        Args:
            epoch: From 0.
            step: From 0 to `steps` - 1.
            share: The part that is returned. Only its images are augmented, unless images are
                mixed: an image is mixed with any other of the batch.
        """
        start = step * self.batch_size
        places = self._epoch_order(epoch)[start : start + self.batch_size]
        weights = np.zeros(self.batch_size, np.float32)
        weights[: len(places)] = self._weight
        filler = np.full(self.batch_size - len(places), places[0])
        places = np.concatenate([places, filler])
        rows = share.of(self.batch_size)
        if self._mixing is None:
            images, labels = self._drawn(places[rows], epoch), self._images.labels[places[rows]]
            return Batch(images, labels, weights[rows])
        generator = np.random.default_rng((self._seed, epoch, step))
        one_hot = np.eye(self._mixing.classes, dtype=np.float32)[self._images.labels[places]]
        images, labels = self._mixing.mix(self._drawn(places, epoch), one_hot, generator)
        return Batch(images[rows], labels[rows], weights[rows])

    def _drawn(self, places: np.ndarray, epoch: int) -> np.ndarray:
        pixels, augmenter = self._images.pixels, self._augmenter
        if augmenter is None:
            return np.ascontiguousarray(pixels[places])
        # An image's number in the set, not among the readable ones, so that one more bad file
        # changes nothing for the others.
        numbers = self._images.indices[places]
        result = np.empty((len(places), *pixels.shape[1:]), np.uint8)

        def draw(row: int) -> None:
            result[row] = augmenter(pixels[places[row]], epoch, int(numbers[row]))

        deque(self._pool.map(draw, range(len(places))), maxlen=0)
        return result

    def passes(self) -> tf.data.Dataset:
        """Return (images, labels) as a tf.data.Dataset; each pass over it is one more epoch.

        Nothing fills up the last batch, so Keras's plain ``metrics`` count right. Passes at the
        same time share the count of epochs.
        """
        import_keras()
        import tensorflow as tf

        epoch = -1

        def make(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Return a batch of the epoch that its first batch has begun."""
            nonlocal epoch
            epoch += int(number) == 0
            batch = self.batch(max(epoch, 0), int(number))
            kept = int(np.count_nonzero(batch.weights))
            return batch.images[:kept], batch.labels[:kept]

        shapes = [(None, *shape[1:]) for shape in self._shapes()[:2]]
        return self._mapped(tf.data.Dataset.range(self.steps), make, self._types()[:2], shapes)

    def _types(self) -> tuple[str, ...]:
        return ("uint8", "int32" if self._mixing is None else "float32", "float32")

    def _shapes(self) -> tuple[tuple[int | None, ...], ...]:
        size = (self.batch_size,)
        classes = () if self._mixing is None else (self._mixing.classes,)
        return (*size, *self._images.pixels.shape[1:]), (*size, *classes), size
