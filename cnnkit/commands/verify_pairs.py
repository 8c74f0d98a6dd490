"""``cnnkit verify-face --pairs`` as a function."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from cnnkit.cluster import OpenedModel
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import (
    SHARD_SIZE,
    cluster_for,
    named_elsewhere,
    precision_elsewhere,
    progress_on,
)
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Progress,
    ShardLike,
    counting,
    path_of,
    pixel_limit,
)
from cnnkit.faces import FaceVerifier
from cnnkit.faces.pair_files import verified_rows, verify_listed_pairs
from cnnkit.faces.verifying import FaceChoice
from cnnkit.folder_job import Outputs, Summary
from cnnkit.formats.face_pairs import FacePair, read_pairs
from cnnkit.results import pair_key
from cnnkit.storage.places import is_url
from cnnkit.writers.remote_files import remote_files
from cnnkit.writers.shards import Shard


@keeps_inputs
def verify_pairs(
    pairs: AnyPath | Iterable[tuple[AnyPath, AnyPath]],
    *,
    root: AnyPath | None = None,
    faces: str = "one",
    threshold: float | None = None,
    output: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    shard: ShardLike | None = None,
    engine: str | None = None,
    shard_size: int = SHARD_SIZE,
    embedder: AnyPath = "dlib-face",
    detector: AnyPath | None = None,
    min_face: int = 40,
    min_score: float | None = None,
    mirror: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Check whether pairs of images show the same person, and write one row per pair, in order.

    There is no liveness check, and error rates differ between groups of people.

    Args:
        pairs: A CSV file with columns ``a``, ``b`` and optionally ``same``, or LFW's
            ``pairs.txt``; or the pairs themselves. Each image is read and embedded once.
        root: The folder that paths are relative to; the folder of the pairs file by default.
        faces: For images with several faces: ``one`` refuses them, ``largest`` uses the largest,
            ``all`` compares all, and the closest pair decides.
        threshold: Largest distance of the same person; the embedder's own by default.
        output: The file or URL of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        resume: Resume an interrupted run of `output`.
        overwrite: Overwrite existing files.
        retry_errors: With `resume`: retry pairs that failed.
        shard: Which shard of the pairs to take, ``"I/N"`` or ``(I, N)``: the pairs I, I + N,
            I + 2N and so on, counted from 0. `merge` joins the files of all N.
        engine: ``ray`` to run one process per machine of a Ray cluster: of this machine alone, or
            ``ray:auto`` or ``ray:HOST:PORT``.
        shard_size: With `engine`: number of pairs that a process takes at a time.
        embedder: The face embedder: an embedded name or a bundle folder.
        detector: The face detector: an embedded name or a bundle folder; by default the one
            that the embedder was made for.
        min_face: Smallest face side to search for, in pixels, at least 12.
        min_score: Minimum score of a face, from 0 to below 1; by default the detector's own.
        mirror: Average embeddings with those of the mirrored face, at twice the cost.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read and embed; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of the embedder); ``auto`` is
            float32 here.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each new row, a dictionary as in a JSON Lines file.
        progress: Called with the number of new rows so far and the number of pairs.

    Returns:
        The numbers of pairs that succeeded, failed and were resumed.

    Raises:
        UsageError: An argument is invalid, an output already exists, or the list of pairs cannot
            be read.
        BundleError: A model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    FaceChoice(faces)
    outputs = Outputs(
        rows=path_of(output),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        remote=remote_files(output),
    )
    listed = _listed(pairs, path_of(root))
    cluster = cluster_for(engine, shard_size, outputs, (pair_key(one.a, one.b) for one in listed))
    settings: dict[str, Any] = {
        "faces": faces,
        "threshold": threshold,
        "min_face": min_face,
        "min_score": min_score,
        "mirror": mirror,
        "threads": threads,
        "max_pixels": pixel_limit(max_pixels),
    }
    verifier = FaceVerifier.load(
        detector,
        os.fspath(embedder),
        device=device,
        runtime=runtime,
        precision=precision,
        **settings,
    )
    if cluster is not None:
        compiled = verifier.embedder.predictor
        opens = partial(
            _opened,
            workers=workers,
            detector=named_elsewhere(detector),
            embedder=named_elsewhere(embedder),
            device=compiled.device,
            runtime=compiled.runtime,
            precision=precision_elsewhere(compiled.precision),
            **settings,
        )
        cluster.order(opens, verifier.embedder.identity, uses_gpu=compiled.device == "gpu")
    progress, counted = progress_on(cluster, progress, lambda: listed)
    same_on_resume = {
        "embedder": verifier.embedder.identity,
        "faces": faces,
        "threshold": verifier.verification.threshold,
        "min_face": min_face,
        "min_score": verifier.embedder.min_score,
        "max_pixels": pixel_limit(max_pixels),
        "precision": verifier.embedder.predictor.precision,
    }
    return verify_listed_pairs(
        verifier,
        listed,
        outputs,
        options=same_on_resume,
        workers=workers,
        emit=counting(emit, progress, counted, outputs.shard),
        engine=cluster,
    )


def _opened(workers: int | None, **settings: Any) -> OpenedModel:
    """Open the models in a process of a cluster; see `FaceVerifier.load`."""
    verifier = FaceVerifier.load(**settings)
    return OpenedModel(verifier.embedder.identity, partial(verified_rows, verifier, workers))


def _listed(
    pairs: AnyPath | Iterable[tuple[AnyPath, AnyPath]], root: Path | None
) -> list[FacePair]:
    """Return the pairs of a file or of a list, each one once."""
    if isinstance(pairs, str | os.PathLike):
        return list(dict.fromkeys(read_pairs(Path(pairs), root)))
    folder = root or ""
    named = (FacePair(_under(folder, a), _under(folder, b)) for a, b in pairs)
    return list(dict.fromkeys(named))


def _under(root: AnyPath, path: AnyPath) -> str:
    """Return a path relative to the root; URLs are not."""
    given = os.fspath(path)
    return given if is_url(given) else os.path.join(root, given)
