"""The processes that train one model together, and what they exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Share(NamedTuple):
    """One of the equal parts of a batch.

    Attributes:
        index: From 0.
        count: Number of parts.
    """

    index: int
    count: int

    def of(self, size: int) -> slice:
        """Return the rows of a batch of `size`, a multiple of `count`, that are this part."""
        each = size // self.count
        return slice(self.index * each, (self.index + 1) * each)


WHOLE = Share(0, 1)


class Group:
    """One process that trains alone; see `JaxGroup` for several.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
        devices: Number of devices that share each batch.
    """

    rank = 0
    count = 1
    devices = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what the run leaves: checkpoints and the bundle."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """The part of each batch that this process loads."""
        return Share(self.rank, self.count)

    def replicated(self) -> Any | None:
        """Return the JAX sharding of what every device has whole, or None on one device."""
        return None

    def everywhere(self, values: np.ndarray) -> Any:
        """Return a JAX array that every process has whole, given the same values on each."""
        import jax.numpy as jnp

        return jnp.array(values)

    def spread(self, share: Any) -> Any:
        """Return a batch as JAX arrays, given this process's share of it."""
        return share

    def meet(self) -> None:
        """Wait until every process is here."""

    def from_first(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the first process's arrays, bit for bit.

        Args:
            arrays: On each process arrays of the same shapes and types.
        """
        return list(arrays)

    def gathered(self, array: np.ndarray) -> list[np.ndarray]:
        """Return each process's array, in their order; all have one shape and type."""
        return [array]


_current = Group()


def current_group() -> Group:
    """Return the processes that train together now: a group of one, unless `joined` says else."""
    return _current
