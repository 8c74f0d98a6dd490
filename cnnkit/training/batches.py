"""What training reads: batches that depend on nothing but the seed, the epoch and their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.runtime import import_keras
from cnnkit.runtime.processes import WHOLE, Share

if TYPE_CHECKING:
    import tensorflow as tf


class Batches(Protocol):
    """Batches of one size, such as `cnnkit.data.loaders.Loader`."""

    batch_size: int

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""

    def dataset(self, first_epoch: int = 0, epochs: int | None = 1) -> tf.data.Dataset:
        """Return some epochs' batches: images, labels and weights, of fixed shapes.

        Labels are integers (batch,) or shares of the classes (batch, classes); a weight
        is 1, or 0 for what only fills up the last batch.
        """

    def batches(self, epoch: int = 0, share: Share = WHOLE) -> Iterator[tuple[Any, ...]]:
        """Yield a share of each batch of one epoch, as `dataset` does, but as NumPy arrays."""

    def close(self) -> None:
        """Let go of threads and files."""


BatchMaker = Callable[[int], Batches]


class ArrayBatches:
    """Batches of arrays that are in memory, reshuffled each epoch in training.

    As in `cnnkit.data.loaders.Loader`, what does not fill the last batch is omitted from a
    training epoch, and comes with weight 0 in validation.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        training: bool,
        seed: int = 0,
    ) -> None:
        """Plan the batches.

        Args:
            inputs: (examples, ...).
            labels: int (examples,), or float (examples, classes).
            batch_size: At least 1.
            training: Whether to shuffle.
            seed: Random seed for the order, 0 or more.

        Raises:
            UsageError: There are no examples, or not as many labels.
        """
        if not 0 < len(inputs) == len(labels):
            received = f"{len(inputs)} and {len(labels)}"
            raise UsageError(broken_rule("inputs and labels", "have the same length", received))
        self.batch_size = min(batch_size, len(inputs))
        self._inputs, self._labels = inputs, labels
        self._training, self._seed = training, seed

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        count = len(self._inputs)
        return count // self.batch_size if self._training else -(-count // self.batch_size)

    def dataset(self, first_epoch: int = 0, epochs: int | None = 1) -> tf.data.Dataset:
        """Return some epochs' batches, see `Batches`."""
        import_keras()
        import tensorflow as tf

        last = tf.int64.max if epochs is None else first_epoch + epochs
        options = tf.data.Options()
        # With it on, dropping an iterator sometimes blocks for seconds.
        options.autotune.enabled = False
        batches = tf.data.Dataset.range(first_epoch, last).flat_map(self._epoch)
        if epochs is not None:
            batches = batches.apply(tf.data.experimental.assert_cardinality(epochs * self.steps))
        return batches.prefetch(1).with_options(options)

    def batches(self, epoch: int = 0, share: Share = WHOLE) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield a share of each batch of one epoch, see `Batches`."""
        [order] = self._order(np.array(epoch))
        for whole in order.reshape(self.steps, self.batch_size):
            places = whole[share.of(self.batch_size)]
            weights = (places >= 0).astype(np.float32)
            kept = np.maximum(places, 0)
            yield self._inputs[kept], self._labels[kept], weights

    def _epoch(self, epoch: tf.Tensor) -> tf.data.Dataset:
        import tensorflow as tf

        size = self.steps * self.batch_size
        [order] = tf.numpy_function(self._order, [epoch], [tf.int64])
        order.set_shape((size,))
        weights = tf.cast(order >= 0, tf.float32)
        places = tf.data.Dataset.from_tensor_slices((tf.maximum(order, 0), weights))
        inputs, labels = tf.constant(self._inputs), tf.constant(self._labels)
        return places.batch(self.batch_size, drop_remainder=True).map(
            lambda place, weight: (tf.gather(inputs, place), tf.gather(labels, place), weight)
        )

    def _order(self, epoch: np.ndarray) -> list[np.ndarray]:
        """Return the places of an epoch's examples, -1 for what fills up."""
        count, size = len(self._inputs), self.steps * self.batch_size
        if self._training:
            return [np.random.default_rng((self._seed, int(epoch))).permutation(count)[:size]]
        return [np.concatenate([np.arange(count), np.full(size - count, -1)])]

    def close(self) -> None:
        """Nothing to let go of."""
