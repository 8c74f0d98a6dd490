"""What the functions of the folder jobs share to run on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cnnkit.bundles import embedded_name
from cnnkit.cluster import Cluster, EngineChoice
from cnnkit.cluster.engine import SHARD_SIZE, digest_of
from cnnkit.commands.inputs import AnyPath, Progress, text_of
from cnnkit.errors import UsageError, mutually_exclusive, requires
from cnnkit.folder_job import Outputs
from cnnkit.runtime import Predictor
from cnnkit.storage.places import is_url

__all__ = [
    "SHARD_SIZE",
    "cluster_for",
    "model_elsewhere",
    "named_elsewhere",
    "place_elsewhere",
    "precision_elsewhere",
    "progress_on",
]


def cluster_for(
    engine: str | None, shard_size: int, outputs: Outputs, inputs: Iterable[str], **further: Any
) -> Cluster | None:
    """Return what makes the rows of a run in other processes, None where this one does.

    Args:
        engine: As the user gave it.
        shard_size: Inputs that a process takes at a time.
        outputs: The outputs of the run.
        inputs: The inputs as they were given.
        **further: What else decides which images are found.

    Raises:
        UsageError: An argument is invalid, or another one excludes `engine`.
    """
    choice = EngineChoice.of(engine, shard_size)
    if choice is None and outputs.prefix is not None:
        fix = "Name one object: the parts of a run are those of the engine's shards."
        raise UsageError(requires("an `output` that ends with /", "`engine`", fix))
    if choice is None:
        return None
    rows = outputs.rows or outputs.prefix
    if rows is None:
        fix = "Only a run that writes rows to a file survives the loss of processes."
        raise UsageError(requires("`engine`", "`output`", fix))
    if outputs.shard is not None:
        fix = "The engine divides the inputs by itself."
        raise UsageError(mutually_exclusive("`engine`", "`shard`", fix))
    return Cluster(
        choice,
        rows,
        digest_of(inputs, **further),
        resume=outputs.resume,
        overwrite=outputs.overwrite,
        retry_errors=outputs.retry_errors,
    )


def place_elsewhere(path: AnyPath | None) -> str | None:
    """Return a path as other processes find it too: a file or folder absolute, a name as it is."""
    given = text_of(path)
    exists = given is not None and not is_url(given) and os.path.exists(given)
    return os.path.abspath(given) if given is not None and exists else given


def named_elsewhere(model: AnyPath | None) -> str | None:
    """Return a model as other processes find it too: an embedded one is never a folder here."""
    given = text_of(model)
    return given if given is not None and embedded_name(given) else place_elsewhere(given)


def model_elsewhere(
    model: AnyPath, weights: AnyPath | None, labels: AnyPath | None, predictor: Predictor
) -> dict[str, Any]:
    """Return the arguments with which another process opens a model to compute as this one does.

    Args:
        model: As the user gave it.
        weights: The same.
        labels: The same.
        predictor: The model as it was compiled here: what ``auto`` became is asked for there.
    """
    return {
        "model": named_elsewhere(model),
        "weights": place_elsewhere(weights),
        "labels": place_elsewhere(labels),
        "device": predictor.device,
        "runtime": predictor.runtime,
        "precision": precision_elsewhere(predictor.precision),
        "batch_size": predictor.batch_size,
    }


def precision_elsewhere(said: str) -> str:
    """Return what to ask another process for; a predictor may say how many bits it has, too."""
    return "int8" if said.startswith("int8 ") else said


def progress_on(
    cluster: Cluster | None, progress: Progress | None, found: Callable[[], Iterable[object]]
) -> tuple[Progress | None, Callable[[], Sequence[object] | Iterable[object]]]:
    """Return what `cnnkit.commands.inputs.counting` takes: the inputs are not listed twice.

    Args:
        cluster: Knows how many inputs there are, once it has listed them; None: nobody does.
        progress: Is told how many are done and of how many.
        found: Gives the inputs, to count them.
    """
    if cluster is None or progress is None:
        return progress, found
    watch = progress
    return (lambda done, total: watch(done, cluster.total)), tuple
