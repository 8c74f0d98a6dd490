"""One process per machine of a Ray cluster, with all its processors.

Only what cannot hang by itself is used: an actor per node that is never restarted by Ray, one call
at a time, and `ray.wait` with a timeout. A node that joins gets an actor, one that is lost takes
its actor along.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cnnkit.cluster.plan import input_fields
from cnnkit.cluster.scheduling import LOOK, Ticket, TicketEnd
from cnnkit.cluster.worker import CannotWork, ImageWorker, WorkOrder
from cnnkit.errors import RuntimeUnavailableError
from cnnkit.runtime.ray_session import ray_session

log = logging.getLogger(__name__)

# How often a process may die in a row before its model is open.
OPENING_TRIES = 3
# Seconds to wait for a node with a processor.
NODE_SECONDS = 600.0


@dataclass
class _Host:
    """The actor of one node.

    Attributes:
        node: The node's identity in Ray.
        name: What messages call the node.
        actor: Ray's handle.
        ticket: What it has in hand; None while it opens the model, or has nothing to do.
        is_open: Whether the model is open.
        since: When it began what it does.
    """

    node: str
    name: str
    actor: Any
    ticket: Ticket | None = None
    is_open: bool = False
    since: float = 0.0


class RayPool:
    """See `cnnkit.cluster.scheduling.TicketPool`."""

    def __init__(self, ray: Any, order: WorkOrder, uses_gpu: bool) -> None:
        self._ray, self._order, self._uses_gpu = ray, order, uses_gpu
        self._hosts: dict[str, _Host] = {}
        self._calls: dict[Any, _Host] = {}
        self._failures: dict[str, int] = {}
        self._looked = -LOOK
        self._alone_since = time.monotonic()

    def idle(self) -> int:
        """See `TicketPool`."""
        return sum(1 for _ in self._idle_hosts())

    def _idle_hosts(self) -> Iterator[_Host]:
        for host in self._hosts.values():
            if host.is_open and host.ticket is None:
                yield host

    def give(self, ticket: Ticket) -> None:
        """See `TicketPool`."""
        host = next(self._idle_hosts())
        host.ticket = ticket
        lines = [input_fields(found) for found in ticket.inputs]
        self._call(host, host.actor.make.remote(lines))

    def wait(self, seconds: float) -> list[TicketEnd]:
        """See `TicketPool`."""
        self._look()
        if not self._calls:
            time.sleep(min(seconds, 0.5))
            return []
        done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        ends = [self._end(self._calls.pop(call), call) for call in done]
        return [end for end in ends if end is not None]

    def state(self) -> str:
        """See `TicketPool`."""
        now = time.monotonic()
        at_work = [
            f"{host.name} ({_work_of(host)}, {now - host.since:.0f} s)"
            for host in self._calls.values()
        ]
        return ", ".join(sorted(at_work)) or "a machine with a processor that is free"

    def end(self) -> None:
        """End all processes: those of a cluster would stay until its job is noticed to be gone."""
        for host in self._hosts.values():
            with contextlib.suppress(Exception):
                self._ray.kill(host.actor)
        self._hosts.clear()

    def _call(self, host: _Host, call: Any) -> None:
        host.since = time.monotonic()
        self._calls[call] = host

    def _end(self, host: _Host, call: Any) -> TicketEnd | None:
        """Take in the end of a call; return the ticket's, if it had one."""
        ticket = host.ticket
        try:
            reply = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            raise RuntimeUnavailableError(f"{host.name}: {_reason(error)}.") from error
        except self._ray.exceptions.RayError:
            self._remove(host)
            log.info("the process on %s died%s", host.name, "" if host.is_open else " opening")
            return None if ticket is None else TicketEnd(ticket, None)
        if isinstance(reply, CannotWork):
            raise RuntimeUnavailableError(f"{host.name}: {reply.message.rstrip('.')}.")
        if ticket is None:
            host.is_open = True
            self._failures.pop(host.node, None)
            return None
        host.ticket = None
        return TicketEnd(ticket, reply)

    def _remove(self, host: _Host) -> None:
        """Forget an actor, whose node gets another one if it is still there."""
        self._hosts.pop(host.node, None)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(host.actor)
        if host.is_open:
            self._looked = -LOOK
            return
        failures = self._failures[host.node] = self._failures.get(host.node, 0) + 1
        if failures >= OPENING_TRIES:
            said = f"{host.name}: the process died {failures} times before the model was open"
            log.warning("%s; it is left out.", said)
            if not self._usable() and host.node in self._alive():
                raise RuntimeUnavailableError(f"{said}; there may not be enough memory.")

    def _usable(self) -> dict[str, dict[str, Any]]:
        """Return the nodes of `_alive` where the model can be opened, as far as is known."""
        return {
            identity: node
            for identity, node in self._alive().items()
            if self._failures.get(identity, 0) < OPENING_TRIES
        }

    def _alive(self) -> dict[str, dict[str, Any]]:
        """Return the nodes that have processors, by their identity."""
        return {
            node["NodeID"]: node
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }

    def _look(self) -> None:
        """Start an actor on each node that has none."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        for identity, node in self._usable().items():
            if identity not in self._hosts:
                self._start(identity, node)
        if self._hosts:
            self._alone_since = now
        elif now - self._alone_since > NODE_SECONDS:
            raise RuntimeUnavailableError(
                f"The cluster must have a machine with a processor. Received: none for "
                f"{NODE_SECONDS:.0f} s. Run the same command again with `resume=True`."
            )

    def _start(self, identity: str, node: dict[str, Any]) -> None:
        near = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        resources = node["Resources"]
        gpus = 1 if self._uses_gpu and resources.get("GPU", 0) >= 1 else 0
        kind = self._ray.remote(ImageWorker).options(
            num_cpus=int(resources["CPU"]),
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=near(identity, soft=False),
        )
        name = str(node.get("NodeName") or node["NodeManagerAddress"])
        host = _Host(identity, name, kind.remote(self._order))
        self._hosts[identity] = host
        self._call(host, host.actor.open.remote())


def _work_of(host: _Host) -> str:
    return f"shard {host.ticket.shard}" if host.ticket is not None else "starting"


def _reason(error: Any) -> str:
    cause = getattr(error, "cause", None) or error
    first = (str(cause).splitlines() or [""])[0]
    return f"{type(cause).__name__}: {first}".rstrip(".: ")


@contextlib.contextmanager
def ray_pool(address: str | None, order: WorkOrder, uses_gpu: bool) -> Iterator[RayPool]:
    """Connect to a cluster, or start one of this machine alone, and end it.

    Raises:
        UsageError: Ray is not installed.
        RuntimeUnavailableError: The cluster cannot be reached or started.
    """
    with ray_session(address) as ray:
        pool = RayPool(ray, order, uses_gpu)
        try:
            yield pool
        finally:
            pool.end()
