"""What the processes of one training agree on: the run, where it stands, and its scores."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.runtime.processes import current_group
from cnnkit.training.reports import Scores

if TYPE_CHECKING:
    from cnnkit.training.stepper import Snapshot


class Standing(NamedTuple):
    """Where a run stands.

    Attributes:
        progress: See `cnnkit.training.progress.Progress.to_dict`; None: it has not begun.
        snapshot: Every number that training changes.
        best: The model's numbers in the best epoch, or None.
    """

    progress: dict[str, Any] | None
    snapshot: Snapshot
    best: list[np.ndarray] | None


def refuse_different_runs(identity: dict[str, Any]) -> None:
    """Wait for all processes, and refuse to train if they were not started alike.

    Args:
        identity: What this process is about to do, as JSON has it.

    Raises:
        UsageError: Another one is about to do something else.
    """
    group = current_group()
    if group.count == 1:
        return
    group.meet()
    content = json.dumps(identity, sort_keys=True).encode()
    hashes = group.gathered(np.frombuffer(hashlib.sha256(content).digest(), np.uint8))
    for rank, other in enumerate(hashes):
        if not np.array_equal(other, hashes[0]):
            rule = "be started with the same options and read the same images"
            received = f"others in process {rank} than in process 0"
            raise UsageError(broken_rule("All processes", rule, received))


def found_by_first(found: Standing) -> Standing:
    """Return what the first process has found.

    Args:
        found: Of this process; its numbers have the same shapes on each.
    """
    from cnnkit.training.stepper import Snapshot

    group = current_group()
    text = json.dumps([found.progress, found.best is not None]).encode()
    [size] = group.from_first([np.array([len(text)])])
    [content] = group.from_first([np.resize(np.frombuffer(text, np.uint8), size[0])])
    progress, has_best = json.loads(content.tobytes())
    snapshot, best = found.snapshot, None
    model = group.from_first(snapshot.model)
    optimizer = group.from_first(snapshot.optimizer)
    if has_best:
        best = group.from_first(found.best or snapshot.model)
    return Standing(progress, Snapshot(model, optimizer), best)


def scores_of_first(scores: Scores) -> Scores:
    """Return the first process's scores: all stop, and keep an epoch, by the same ones."""
    [numbers] = current_group().from_first([np.array(scores, np.float64)])
    return Scores(*map(float, numbers))
