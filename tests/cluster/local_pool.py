"""Workers in this process, for tests: they die on demand, and end in whatever order."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator

from cnnkit.cluster.scheduling import Ticket, TicketEnd
from cnnkit.cluster.worker import CannotWork, ImageWorker, WorkOrder
from cnnkit.errors import RuntimeUnavailableError


class LocalPool:
    """A few workers of this process.

    Attributes:
        dies: Whether a worker dies of a ticket.
        given: All tickets that workers were given.
        ended: Whether the run has let go of it.
    """

    def __init__(self, order: WorkOrder, dies: Callable[[Ticket], bool], size: int = 2) -> None:
        self._worker = ImageWorker(pickle.loads(pickle.dumps(order)))  # as Ray sends it
        refusal = self._worker.open()
        if refusal is not None:
            raise RuntimeUnavailableError(refusal.message)
        self.dies, self._size = dies, size
        self._held: list[Ticket] = []
        self.given: list[Ticket] = []
        self.ended = False

    def idle(self) -> int:
        return self._size - len(self._held)

    def give(self, ticket: Ticket) -> None:
        assert self.idle()
        self._held.append(ticket)
        self.given.append(ticket)

    def wait(self, seconds: float) -> list[TicketEnd]:
        from cnnkit.cluster.plan import input_fields

        ticket = self._held.pop()  # the last one first
        if self.dies(ticket):
            return [TicketEnd(ticket, None)]
        reply = self._worker.make([input_fields(one) for one in ticket.inputs])
        if isinstance(reply, CannotWork):
            raise RuntimeUnavailableError(reply.message)
        return [TicketEnd(ticket, reply)]

    def state(self) -> str:
        return "nothing"


def local_pools(dies: Callable[[Ticket], bool] = lambda ticket: False) -> Callable:
    """Return what stands for `cnnkit.cluster.ray_pool.ray_pool`; its ``pools`` are those made."""

    @contextlib.contextmanager
    def pool(address: str | None, order: WorkOrder, uses_gpu: bool) -> Iterator[LocalPool]:
        pools.append(LocalPool(order, dies))
        try:
            yield pools[-1]
        finally:
            pools[-1].ended = True

    pools: list[LocalPool] = []
    pool.pools = pools
    return pool
