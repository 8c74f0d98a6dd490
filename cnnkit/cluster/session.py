"""Processes of a cluster that several jobs of one run share, one job after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from cnnkit.cluster.engine import EngineChoice
from cnnkit.cluster.parts import Made, MadeRows
from cnnkit.cluster.plan import PlannedInput
from cnnkit.cluster.scheduling import Scheduler, TicketPool
from cnnkit.cluster.worker import WorkOrder

# Shards into which a job is divided at least, and the inputs below which a shard is not worth it.
LEAST_SHARDS = 32
SMALL_SHARD = 32

Keep = Callable[[Sequence[PlannedInput], MadeRows], None]


class ClusterSession:
    """A connection to a cluster, which begins with the first job and ends with `close`."""

    def __init__(self, choice: EngineChoice) -> None:
        """Settle where; nothing is started yet.

        Args:
            choice: Where.
        """
        self._choice = choice
        self._connection = contextlib.ExitStack()
        self._processes = contextlib.ExitStack()
        self._order: WorkOrder | None = None
        self._pool: TicketPool | None = None

    def run(
        self,
        order: WorkOrder,
        inputs: Sequence[PlannedInput],
        keep: Keep,
        *,
        uses_gpu: bool = False,
    ) -> None:
        """Have the rows of some inputs made.

        Args:
            order: What the workers do. They stay for the next job if that has the same object.
            inputs: The inputs, whose positions count from 0.
            keep: Called with the inputs of each shard and their rows, in whatever order the
                shards end.
            uses_gpu: Whether workers take a GPU where there is one.

        Raises:
            UsageError: Ray is not installed.
            CnnkitError: The run cannot be finished; what was kept stays.
        """
        size = shard_size_of(len(inputs), self._choice.shard_size)
        try:
            scheduler = Scheduler(self._pool_of(order, uses_gpu), _Kept(inputs, size, keep))
            for _ in scheduler.rows(inputs, size):
                pass  # all were kept as they came
        except BaseException:  # whatever it is, the workers may be in the middle of something
            self.close()
            raise

    def _pool_of(self, order: WorkOrder, uses_gpu: bool) -> TicketPool:
        """Return processes that have, or will have, the model of an order open."""
        if self._pool is None or self._order is not order:
            from cnnkit.cluster.ray_pool import ray_pool
            from cnnkit.runtime.ray_session import ray_session

            self._end_processes()
            address = self._choice.address
            if self._order is None:
                self._connection.enter_context(ray_session(address))
            self._order = order
            self._pool = self._processes.enter_context(ray_pool(address, order, uses_gpu))
        return self._pool

    def _end_processes(self) -> None:
        self._pool = None
        self._processes.close()

    def close(self) -> None:
        """End the processes, and the cluster if it was started for them."""
        try:
            self._end_processes()
        finally:
            self._order = None
            self._connection.close()


def shard_size_of(count: int, most: int) -> int:
    """Return how many inputs a worker takes at a time: few where there are few, so that all work.

    Args:
        count: Number of inputs.
        most: What the user allows.
    """
    return min(most, max(SMALL_SHARD, -(-count // LEAST_SHARDS)))


class _Kept:
    """Hands each finished shard on: a `cnnkit.cluster.scheduling.ShardStore` without a disk."""

    def __init__(self, inputs: Sequence[PlannedInput], size: int, keep: Keep) -> None:
        self._inputs, self._size, self._keep = inputs, size, keep

    def commit(self, number: int, made: MadeRows) -> None:
        start = number * self._size
        self._keep(self._inputs[start : start + self._size], made)

    def holds(self, number: int, inputs: Sequence[PlannedInput], retry_errors: bool) -> bool:
        return False

    def read(self, number: int, inputs: Sequence[PlannedInput] | None) -> Iterator[Made]:
        return iter(())
