"""Gives shards to workers, whatever becomes of these, and the rows back in input order.

A worker has one ticket at a time, so that it is known what a process had in hand when it died.
A shard that is lost is tried once more; lost again, it is split, and its pieces are too, until
single images are left. An image whose process dies twice with nothing else in hand is a row with
the error ``crashed``.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cnnkit.cluster.parts import Made, MadeRows, joined, packed
from cnnkit.cluster.plan import PlannedInput
from cnnkit.errors import RuntimeUnavailableError
from cnnkit.results import Failure, key_of, make_pair_row, make_row
from cnnkit.storage.places import Member

log = logging.getLogger(__name__)

# How often a ticket is handed out: a process may die of something else.
TRIES = 2
# Parts into which a lost ticket is split.
PIECES = 10
# Seconds without any result after which it is said what is waited for.
PATIENCE = 60.0
# Seconds between two looks at what workers there are.
LOOK = 5.0
CRASHED = "the process that handled it died twice, with nothing else in hand"
# Inputs of finished shards that may wait for one before them: more would only fill memory.
HELD_INPUTS = 100_000
# Where no image is ever done, it is not for the images that processes die.
HOPELESS = 10


@dataclass(frozen=True)
class Ticket:
    """Some inputs of a shard for one worker.

    Attributes:
        shard: Number of the shard.
        start: Place of the first input among those of the shard that are to be done.
        inputs: The inputs.
        losses: How many processes have died with it.
    """

    shard: int
    start: int
    inputs: Sequence[PlannedInput]
    losses: int = 0

    def pieces(self) -> list[Ticket]:
        """Return the ticket in pieces, the last ones with single inputs."""
        size = -(-len(self.inputs) // PIECES)
        return [
            Ticket(self.shard, self.start + at, self.inputs[at : at + size])
            for at in range(0, len(self.inputs), size)
        ]


class TicketEnd(NamedTuple):
    """What became of a ticket: its rows, or None where the process died."""

    ticket: Ticket
    made: MadeRows | None


class TicketPool(Protocol):
    """Processes that make rows. They may die; others are started in their place."""

    def idle(self) -> int:
        """Return how many tickets can be given to workers now."""

    def give(self, ticket: Ticket) -> None:
        """Give a ticket to an idle worker."""

    def wait(self, seconds: float) -> list[TicketEnd]:
        """Wait until something happens, at most so long, and return the tickets that ended.

        Raises:
            CnnkitError: The run cannot be finished.
        """

    def state(self) -> str:
        """Return what the pool is waiting for, for a message."""


class ShardStore(Protocol):
    """Keeps finished shards, see `cnnkit.cluster.parts.PartFolder`."""

    def commit(self, number: int, made: MadeRows) -> None:
        """Keep the rows of a shard."""

    def holds(self, number: int, inputs: Sequence[PlannedInput], retry_errors: bool) -> bool:
        """Return whether an earlier run has made a row for each of the inputs."""

    def read(self, number: int, inputs: Sequence[PlannedInput] | None) -> Iterator[Made]:
        """Yield the rows of those inputs of a shard, in their order; None: all of them."""


@dataclass
class _OpenShard:
    """A shard that was handed out, until its rows are given.

    Attributes:
        missing: Number of inputs without a row.
        wanted: The inputs whose rows are taken from its part; None: all, it has no others.
        pieces: Rows, by the place of their first input.
    """

    missing: int
    wanted: Sequence[PlannedInput] | None = None
    pieces: dict[int, MadeRows] = field(default_factory=dict)


class Scheduler:
    """Gives out all shards of a run and collects their parts."""

    def __init__(self, pool: TicketPool, parts: ShardStore, retry_errors: bool = False) -> None:
        """Settle who works.

        Args:
            pool: The workers.
            parts: Where finished shards are kept.
            retry_errors: Parts with errors are made again.
        """
        self._pool, self._parts, self._retry_errors = pool, parts, retry_errors
        self._again: deque[Ticket] = deque()
        self._open: dict[int, _OpenShard] = {}
        self._out = 0  # tickets that workers have
        self._held = 0  # inputs of shards that an earlier run has finished, not yet given
        self._done = self._crashed = 0
        self._heard = time.monotonic()

    def rows(self, pending: Iterable[PlannedInput], shard_size: int) -> Iterator[Made]:
        """Yield a row for each input, in order.

        Args:
            pending: Inputs of a plan without a row yet, in order.
            shard_size: Inputs of a shard of the plan.

        Raises:
            CnnkitError: The run cannot be finished; what was done is kept.
        """
        shards = itertools.groupby(pending, key=lambda one: one.position // shard_size)
        fresh = ((number, list(inputs)) for number, inputs in shards)
        order: deque[int] = deque()
        more = True
        while True:
            more = self._hand_out(fresh, order) and more
            while order and not self._open[order[0]].missing:
                number = order.popleft()
                wanted = self._open.pop(number).wanted
                self._held -= len(wanted or ())
                yield from self._parts.read(number, wanted)
            if not (more or order):
                return
            if self._out or self._again or not self._pool.idle():
                self._collect(self._pool.wait(LOOK))

    def _hand_out(self, fresh: Iterator[tuple[int, list[PlannedInput]]], order: deque[int]) -> bool:
        """Give each idle worker a ticket; return whether there may be more shards."""
        while self._pool.idle():
            if self._again:
                self._give(self._again.popleft())
                continue
            number, inputs = next(fresh, (-1, []))
            if not inputs:
                return False
            order.append(number)
            if self._parts.holds(number, inputs, self._retry_errors):
                self._open[number] = _OpenShard(0, inputs)
                self._held += len(inputs)
                if number == order[0] or self._held > HELD_INPUTS:
                    return True  # it is the next one to be given, or has to wait for that
                continue
            self._open[number] = _OpenShard(len(inputs))
            self._give(Ticket(number, 0, inputs))
        return True

    def _give(self, ticket: Ticket) -> None:
        self._pool.give(ticket)
        self._out += 1

    def _collect(self, ends: list[TicketEnd]) -> None:
        now = time.monotonic()
        if ends:
            self._heard = now
        elif now - self._heard > PATIENCE:
            self._heard = now
            log.warning("waiting for %s", self._pool.state())
        for ticket, made in ends:
            self._out -= 1
            if made is not None:
                self._take(ticket, made)
            else:
                self._lose(ticket)

    def _take(self, ticket: Ticket, made: MadeRows) -> None:
        """Keep the rows of a ticket, and write the part if the shard is complete."""
        _check_rows(ticket, made)
        self._done += len(ticket.inputs)
        shard = self._open[ticket.shard]
        shard.pieces[ticket.start] = made
        shard.missing -= len(ticket.inputs)
        if not shard.missing:
            pieces = [shard.pieces[start] for start in sorted(shard.pieces)]
            self._parts.commit(ticket.shard, joined(pieces))
            shard.pieces.clear()

    def _lose(self, ticket: Ticket) -> None:
        """Decide what becomes of a ticket whose process has died."""
        losses = ticket.losses + 1
        if losses < TRIES:
            self._again.append(Ticket(ticket.shard, ticket.start, ticket.inputs, losses))
        elif len(ticket.inputs) > 1:
            self._again.extend(ticket.pieces())
        else:
            self._crashed += 1
            if self._crashed >= HOPELESS and not self._done:
                raise RuntimeUnavailableError(
                    f"The processes must not die: {self._crashed} of {self._crashed} images ended "
                    "one. Run a few images without `engine` to see why."
                )
            row = crashed_row(ticket.inputs[0].key)
            log.warning("%s: %s", ticket.inputs[0].key.replace("\0", " and "), CRASHED)
            self._take(ticket, packed([(row, None)]))
            self._done -= 1


def _check_rows(ticket: Ticket, made: MadeRows) -> None:
    """Refuse rows that are not those of the ticket, or of a machine that lacks an image.

    Raises:
        RuntimeUnavailableError: Says what is wrong.
    """
    rows = [json.loads(line) for line in made.text.splitlines()]
    keys = [one.key for one in ticket.inputs]
    if [key_of(row) for row in rows] != keys or len(made.features) != len(keys):
        received = f"{len(rows)} others for {len(keys)} inputs"
        raise RuntimeUnavailableError(f"A worker must return the rows of its inputs: {received}.")
    for row, one in zip(rows, ticket.inputs, strict=True):
        if row["status"] == "error" and row["error"]["kind"] == "missing" and _is_here(one):
            raise missing_elsewhere(one.key.replace("\0", " and "))


def _is_here(found: PlannedInput) -> bool:
    """Return whether this machine has the file of an input, or both files of a pair."""
    if isinstance(found.path, Member):  # it was listed here
        return os.path.exists(found.path.file)
    return all(os.path.exists(path) for path in found.key.split("\0"))


def missing_elsewhere(path: str) -> RuntimeUnavailableError:
    """Return the error of a machine that lacks an image which this one has."""
    return RuntimeUnavailableError(
        f"All machines of the cluster must have the images at the same paths. {path} is here, "
        "and missing where it was to be read."
    )


def crashed_row(key: str) -> dict[str, object]:
    """Return the row of an input that ends its process; the key of a pair has two paths."""
    failure = Failure("crashed", CRASHED)
    first, *second = key.split("\0")
    return make_pair_row(first, second[0], failure) if second else make_row(first, failure)
