"""The processes that train one model together, and what they exchange.

JAX connects them (`jax.distributed`); something else starts them: Slurm, Kubernetes, a shell.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnkit.errors import (
    CnnkitError,
    RuntimeUnavailableError,
    UsageError,
    broken_rule,
    is_required,
    requires,
)
from cnnkit.runtime.meeting import COULD_NOT_RUN, Guest, Host, Meeting, parsed_address
from cnnkit.runtime.process import backend_name, import_keras

if TYPE_CHECKING:
    import jax

# How many seconds the processes of a training wait for each other at its start.
JOIN_SECONDS = 300
# How launchers tell a process how many there are, and which it is: the innermost first.
LAUNCHERS = (
    ("WORLD_SIZE", "RANK"),
    ("SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
)
# An indexed job of Kubernetes says only which.
INDEX = "JOB_COMPLETION_INDEX"
# JAX's own watch, which would abort with native messages, comes after ours, if at all.
JAX_PATIENCE = 7 * 24 * 3600
INTERRUPTED, OUR_FAULT = 130, 70
# A process that ends breaks a collective operation before its end is noticed otherwise.
NOTICED_AFTER = 5.0


class Share(NamedTuple):
    """One of the equal parts of a batch.

    Attributes:
        part: From 0.
        parts: Number of parts.
    """

    part: int
    parts: int

    def of(self, size: int) -> slice:
        """Return the rows of a batch of `size`, a multiple of `parts`, that are this part."""
        each = size // self.parts
        return slice(self.part * each, (self.part + 1) * each)


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


class JaxGroup(Group):
    """Processes that JAX connects: each has the same numbers and loads a share of each batch."""

    def __init__(self, rank: int, count: int, meeting: Meeting) -> None:
        """Take the processes as JAX knows them by now."""
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        self.rank, self.count, self.devices = rank, count, jax.device_count()
        self._meeting = meeting
        mesh = Mesh(np.array(jax.devices()), ("batch",))
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._parts = NamedSharding(mesh, PartitionSpec("batch"))

    def replicated(self) -> Any:
        """See `Group`."""
        return self._whole

    def everywhere(self, values: np.ndarray) -> jax.Array:
        """See `Group`."""
        import jax

        return jax.make_array_from_callback(values.shape, self._whole, lambda place: values[place])

    def spread(self, share: Any) -> Any:
        """See `Group`."""
        import jax

        def placed(part: np.ndarray) -> jax.Array:
            """Return the whole of which this process has a part."""
            return jax.make_array_from_process_local_data(self._parts, part)

        return jax.tree.map(placed, share)

    def meet(self) -> None:
        """See `Group`."""
        self._meeting.meet()

    def from_first(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Group`."""
        from jax.experimental import multihost_utils

        contents = [np.frombuffer(np.asarray(array).tobytes(), np.uint8) for array in arrays]
        found = np.asarray(multihost_utils.broadcast_one_to_all(np.concatenate(contents)))
        parts = np.split(found, np.cumsum([len(content) for content in contents])[:-1])
        return [
            np.frombuffer(part.tobytes(), array.dtype).reshape(array.shape).copy()
            for part, array in zip(parts, map(np.asarray, arrays), strict=True)
        ]

    def gathered(self, array: np.ndarray) -> list[np.ndarray]:
        """See `Group`."""
        from jax.experimental import multihost_utils

        return list(np.asarray(multihost_utils.process_allgather(array)))


_current = Group()


def current_group() -> Group:
    """Return the processes that train together now: a group of one, unless in `joined`."""
    return _current


class Membership(NamedTuple):
    """Where a process stands.

    Attributes:
        coordinator: ``HOST:PORT`` where process 0 listens.
        processes: Number of processes.
        process_id: Number of this one, from 0.
    """

    coordinator: str
    processes: int
    process_id: int


def place_of(
    coordinator: str | None,
    processes: int | None,
    process_id: int | None,
    environment: Mapping[str, str] | None = None,
) -> Membership | None:
    """Return where this process stands, or None if it trains alone.

    Args:
        coordinator: ``HOST:PORT``; None: it trains alone.
        processes: None: what the launcher says.
        process_id: None: what the launcher says.
        environment: By default that of this process.

    Raises:
        UsageError: Something is missing or contradicts.
    """
    if coordinator is None:
        for name, value in (("processes", processes), ("process_id", process_id)):
            if value is not None:
                raise UsageError(requires(f"`{name}`", "`coordinator`"))
        return None
    parsed_address(coordinator)
    number, place = _told_by_launcher(os.environ if environment is None else environment)
    processes = number if processes is None else processes
    process_id = place if process_id is None else process_id
    fix = "Slurm, torchrun, and Open MPI tell it to the processes that they start."
    if processes is None:
        raise UsageError(is_required("`processes`", fix))
    if process_id is None:
        raise UsageError(is_required("`process_id`", fix))
    if processes < 1:
        raise UsageError(broken_rule("`processes`", "be at least 1", processes))
    if not 0 <= process_id < processes:
        rule = f"be from 0 to {processes - 1}"
        raise UsageError(broken_rule("`process_id`", rule, process_id))
    return Membership(coordinator, processes, process_id)


def _told_by_launcher(environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the number of processes and this one's, each None where nobody says it."""

    def number(name: str) -> int | None:
        value = environment.get(name, "")
        return int(value) if value.isdecimal() else None

    told = [[number(name) for name in pair] for pair in LAUNCHERS]
    processes, process_id = next((pair for pair in told if None not in pair), (None, None))
    index = number(INDEX)
    return processes, process_id if index is None else index


def choose_jax() -> None:
    """Let Keras, unless it is imported already, use JAX in this process.

    Raises:
        UsageError: JAX is not installed.
    """
    _require_jax()
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"


def _require_jax() -> None:
    if find_spec("jax") is None:
        fix = "Install it with: pip install 'cnnkit[distributed]'."
        raise UsageError(requires("`coordinator`", "JAX", fix))


@contextlib.contextmanager
def joined(
    coordinator: str | None,
    processes: int | None = None,
    process_id: int | None = None,
    seconds: float = JOIN_SECONDS,
) -> Iterator[Group]:
    """Train together with other processes in the block, which all of them enter and leave.

    Where another one ends early, this process says so in a message and exits with status 2.

    Args:
        coordinator: ``HOST:PORT`` of process 0, an address of its machine at which it listens;
            None: this process trains alone.
        processes: Number of processes; None: what the launcher says.
        process_id: Number of this one, from 0; None: what the launcher says.
        seconds: How long to wait for the others.

    Raises:
        UsageError: The processes contradict one another, or this one has computed with JAX.
        RuntimeUnavailableError: Keras uses another backend, or the others do not come.
    """
    global _current
    place = place_of(coordinator, processes, process_id)
    if place is None:
        yield _current
        return
    _require_jax()
    import_keras()
    if backend_name() != "jax":
        fix = "Set KERAS_BACKEND=jax before Keras is imported."
        raise RuntimeUnavailableError(
            broken_rule("KERAS_BACKEND", "be jax for `coordinator`", backend_name(), fix)
        )
    meeting: Meeting
    if place.process_id == 0:
        meeting = Host(place.coordinator, place.processes, seconds)
    else:
        meeting = Guest(place.coordinator, place.process_id, place.processes, seconds)
    try:
        _current = _connected(place, meeting)
        yield _current
        meeting.finish()
    except BaseException as error:
        _abandon(meeting, error)
        raise
    finally:
        _current = Group()
    _disconnect(meeting)


def _connected(place: Membership, meeting: Meeting) -> Group:
    """Let JAX connect the processes that have met.

    Raises:
        UsageError: JAX has computed in this process before, or counts other processes.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it logs natively
    try:
        jax.distributed.initialize(
            meeting.service,
            place.processes,
            place.process_id,
            cluster_detection_method="deactivate",
            coordinator_bind_address=meeting.service,
            heartbeat_timeout_seconds=JAX_PATIENCE,
        )
    except RuntimeError as error:
        rule = "be joined once, before JAX computes in the process"
        raise UsageError(broken_rule("Other processes", rule, str(error)[:200])) from error
    if jax.process_count() != place.processes:
        rule = "be the number of processes that JAX connects"
        raise UsageError(broken_rule("`processes`", rule, jax.process_count()))
    group = JaxGroup(place.process_id, place.processes, meeting)
    with _silenced_standard_output():  # gloo tells there that it is connected
        group.gathered(np.zeros(1, np.uint8))
    return group


def _disconnect(meeting: Meeting) -> None:
    import jax

    jax.distributed.shutdown()
    meeting.close()


def _abandon(meeting: Meeting, error: BaseException) -> None:
    """Let the others know, and keep JAX from waiting for them when this process ends."""
    if isinstance(error, Exception) and not isinstance(error, CnnkitError):
        time.sleep(NOTICED_AFTER)  # it may be the loss of another process, which ends this one
    status = COULD_NOT_RUN if isinstance(error, CnnkitError) else OUR_FAULT
    if isinstance(error, KeyboardInterrupt):
        status = INTERRUPTED
    meeting.close(" ".join(f"{error or type(error).__name__}".split()))
    atexit.register(_exit_at_once, status)


def _exit_at_once(status: int) -> None:
    logging.shutdown()
    for name in ("stdout", "stderr"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            getattr(sys, name).flush()
    os._exit(status)


@contextlib.contextmanager
def _silenced_standard_output() -> Iterator[None]:
    """Send file descriptor 1 elsewhere for native code."""
    try:
        saved = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
