"""What a folder job asks for rows, where other processes make them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cnnkit.cluster.parts import Made, PartFolder
from cnnkit.cluster.plan import InputPlan, PlannedInput
from cnnkit.cluster.remote_parts import RemoteParts
from cnnkit.cluster.scheduling import Scheduler
from cnnkit.cluster.worker import OpenedModel, WorkOrder
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.images import Found
from cnnkit.writers.shards import InputDigest

SHARD_SIZE = 1_000
MAX_SHARD_SIZE = 100_000
_ENGINE = re.compile(r"ray(?::(?P<address>.+))?", re.DOTALL)
_ADDRESS = re.compile(r"auto|\[?[\w.:-]+\]?:\d{1,5}")


@dataclass(frozen=True)
class EngineChoice:
    """Where the rows of a run are made.

    Attributes:
        address: ``HOST:PORT`` of a Ray cluster, or ``auto`` for the one that this machine belongs
            to; None: a cluster of this machine alone, for this run.
        shard_size: Inputs that a worker takes at a time.
    """

    address: str | None
    shard_size: int = SHARD_SIZE

    @classmethod
    def of(cls, engine: str | None, shard_size: int) -> EngineChoice | None:
        """Return what ``"ray"`` or ``"ray:ADDRESS"`` stands for, None for None.

        Raises:
            UsageError: It is neither, or the size is not possible or of no use.
        """
        if type(shard_size) is not int or not 1 <= shard_size <= MAX_SHARD_SIZE:
            rule = f"be from 1 to {MAX_SHARD_SIZE:,}"
            raise UsageError(broken_rule("`shard_size`", rule, shard_size))
        if engine is None and shard_size != SHARD_SIZE:
            raise UsageError(requires("`shard_size`", "`engine`"))
        if engine is None:
            return None
        found = _ENGINE.fullmatch(engine)
        if found is None:
            rule = "be ray, ray:auto or ray:HOST:PORT"
            raise UsageError(broken_rule("`engine`", rule, engine))
        address = found["address"]
        if address is not None and not _ADDRESS.fullmatch(address):
            fix = "Run the command on a machine of the cluster, with ray:auto."
            rule = "name a cluster as ray:auto or ray:HOST:PORT"
            raise UsageError(broken_rule("`engine`", rule, engine, fix))
        return cls(address, shard_size)


def digest_of(inputs: Iterable[str], **further: Any) -> dict[str, Any]:
    """Return what says which inputs were asked for, in a few bytes.

    Args:
        inputs: As they were given.
        **further: What else decides which images are found.
    """
    digest = InputDigest()
    for one in inputs:
        digest.add(one)
    return {"count": digest.count, "digest": digest.text(), **further}


class Cluster:
    """Makes the rows of one run in other processes; `FolderJob` asks it for them.

    Attributes:
        total: Number of inputs, once they are listed; 0 before.
    """

    def __init__(
        self,
        choice: EngineChoice,
        rows: Path | str,
        given: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        retry_errors: bool = False,
    ) -> None:
        """Settle where and for what; nothing is started or written yet.

        Args:
            choice: Where.
            rows: The finished file; the parts lie in ``FILE.parts``. Or the URL of a prefix, where
                the parts stay.
            given: What says which inputs were asked for, see `digest_of`.
            resume: Resume an interrupted run.
            overwrite: Start over; for a file, its journal says so.
            retry_errors: When resuming, retry inputs that failed.
        """
        self.total = 0
        self._choice, self._given = choice, given
        self._resume, self._retry_errors = resume, retry_errors
        self._parts: PartFolder | RemoteParts
        if isinstance(rows, str):
            self._parts = RemoteParts(rows, resume, overwrite)
        else:
            self._parts = PartFolder(rows.with_name(f"{rows.name}.parts"))
        self._order: WorkOrder | None = None
        self._uses_gpu = False

    def order(
        self, opens: Callable[[], OpenedModel], identity: str, *, uses_gpu: bool = False
    ) -> None:
        """Say what the workers do.

        Args:
            opens: Opens the model in a worker; a function that can be imported, with its
                arguments.
            identity: The identity that the model has here.
            uses_gpu: Whether workers take a GPU where there is one.
        """
        self._order = WorkOrder(opens, identity, os.getcwd())
        self._uses_gpu = uses_gpu

    def planned(self, found: Iterable[Found], header: dict[str, Any], *, is_new: bool) -> InputPlan:
        """Return all inputs of the run: as a killed run has listed them, or listed now.

        The journal must be open: it is locked, so that no other run writes here.

        Args:
            found: The inputs.
            header: What the journal's first line says of the run.
            is_new: Whether no earlier run has begun the journal. What lies in ``FILE.parts`` is
                then of a run that was finished by one process, or whose rows were removed.

        Raises:
            UsageError: The plan is of another run.
            OutputError: The plan cannot be written.
        """
        size = self._choice.shard_size
        is_known = self._parts.find_plan() and not (is_new and self._parts.needs_journal)
        if self._resume and is_known:
            plan = InputPlan.read(self._parts.plan, header, self._given, size)
        else:
            self._parts.clear()
            self._parts.make()
            plan = InputPlan.write(self._parts.plan, found, header, self._given, size)
            self._parts.publish()
        self._parts.run, self.total = plan.run, plan.count
        self._parts.check_run()
        return plan

    def rows(self, pending: Iterator[Found]) -> Generator[Made]:
        """Yield a row and its features for each input of the plan that has no row yet.

        Raises:
            UsageError: Ray is not installed.
            CnnkitError: The run cannot be finished; what was done is kept.
        """
        first = next(pending, None)
        if first is None:
            return
        from cnnkit.cluster.ray_pool import ray_pool

        if self._order is None:
            raise RuntimeError("`order` was not called")
        inputs = cast("Iterator[PlannedInput]", _after(first, pending))
        with ray_pool(self._choice.address, self._order, self._uses_gpu) as pool:
            scheduler = Scheduler(pool, self._parts, self._retry_errors)
            yield from scheduler.rows(inputs, self._choice.shard_size)

    def end(self) -> None:
        """Remove the plan and the parts, once all is made from them, unless they are to stay."""
        self._parts.end()

    def close(self) -> None:
        """Let go of the place of the parts."""
        self._parts.close()


def _after(first: Found, rest: Iterator[Found]) -> Iterator[Found]:
    yield first
    yield from rest


def check_alone(engine: EngineChoice | None, others: Sequence[tuple[str, Any]]) -> None:
    """Refuse what needs all images on this machine.

    Args:
        engine: The choice, or None.
        others: Names of parameters, and what they were given.

    Raises:
        UsageError: Names both.
    """
    for name, value in others:
        if engine is not None and value:
            rule = "be used without `engine`"
            raise UsageError(broken_rule(f"`{name}`", rule, "both"))
