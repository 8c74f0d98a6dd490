"""`identify`: names the faces in images by a gallery, one row per image."""

from __future__ import annotations

from functools import partial
from typing import Any

from cnnkit.bundles import embedded_names
from cnnkit.cluster import OpenedModel
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import SHARD_SIZE, cluster_for, progress_on
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    ShardLike,
    check_column,
    counting,
    input_list,
    path_of,
    prefix_of,
)
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.embedding import FaceEmbedder
from cnnkit.faces.gallery import Gallery
from cnnkit.faces.gallery.identifying import identified_rows
from cnnkit.faces.gallery.identifying import identify as identify_found
from cnnkit.faces.gallery.known import KnownFaces
from cnnkit.folder_job import Outputs, Summary
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
from cnnkit.writers.remote_files import remote_files
from cnnkit.writers.shards import Shard


@keeps_inputs
def identify(
    gallery: Gallery,
    inputs: Inputs,
    *,
    output: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    shard: ShardLike | None = None,
    engine: str | None = None,
    shard_size: int = SHARD_SIZE,
    column: str | None = None,
    workers: int | None = None,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Name the faces in images by a gallery, and write one row per image, in order.

    For a few images in memory, see `Gallery.predict`.

    Args:
        gallery: A loaded gallery; its `faces`, `threshold` and `margin` decide.
        inputs: One or more images, folders and patterns.
        output: The file or URL of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        resume: Resume an interrupted run of `output`.
        overwrite: Overwrite existing files.
        retry_errors: With `resume`: retry inputs that failed.
        shard: Which shard of the inputs to take, ``"I/N"`` or ``(I, N)``: the inputs I, I + N,
            I + 2N and so on, counted from 0. `merge` joins the files of all N.
        engine: ``ray`` to run one process per machine of a Ray cluster: of this machine alone, or
            ``ray:auto`` or ``ray:HOST:PORT``.
        shard_size: With `engine`: number of inputs that a process takes at a time.
        column: The column of Parquet files that holds the images' bytes; by default ``image``, with
            its field ``bytes``, or ``bytes``.
        workers: Threads that read and embed; by default one more than CPUs.
        emit: Called with each new row, a dictionary as in a JSON Lines file.
        progress: Called with the number of images done and the total.

    Returns:
        The numbers of inputs that succeeded, failed, were resumed and were skipped.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    paths = input_list(inputs)
    check_column(column, paths)
    outputs = Outputs(
        rows=path_of(output),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        prefix=prefix_of(output),
        remote=remote_files(output),
    )
    cluster = cluster_for(engine, shard_size, outputs, paths, column=column)
    if cluster is not None:
        opens = partial(_opened, gallery.known(), workers, **_sent(gallery))
        compiled = gallery.embedder.predictor
        cluster.order(opens, gallery.embedder.identity, uses_gpu=compiled.device == "gpu")
    embedder, settings = gallery.embedder, gallery.settings
    limit = embedder.max_pixels
    same_on_resume = {
        "threshold": settings.threshold,
        "margin": settings.margin,
        "faces": gallery.choice.faces,
        "min_face": embedder.min_face,
        "min_score": embedder.min_score,
        "precision": embedder.predictor.precision,
        "max_pixels": None if limit == DEFAULT_MAX_PIXELS else limit,
    }
    progress, counted = progress_on(cluster, progress, lambda: Finder(paths, column=column))
    return identify_found(
        gallery,
        Finder(paths, column=column),
        outputs,
        options=same_on_resume,
        workers=workers,
        emit=counting(emit, progress, counted, outputs.shard),
        engine=cluster,
    )


def _sent(gallery: Gallery) -> dict[str, Any]:
    """Return the arguments of `FaceEmbedder.load` that open a gallery's models elsewhere.

    Raises:
        UsageError: The gallery is encrypted, or a model is known by no name.
    """
    if gallery.encrypted:
        fix = "Its embeddings would leave this machine."
        rule = "be used with galleries that are not encrypted"
        raise UsageError(broken_rule("`engine`", rule, gallery.path, fix))
    embedder, found = gallery.embedder, gallery.embedder.detector
    names = {"embedder": embedder.bundle.card.name}
    if isinstance(found, FaceDetector):
        names["detector"] = found.bundle.card.name
    for name in names.values():
        if name not in embedded_names():
            rule = "be used with embedded face models"
            raise UsageError(broken_rule("`engine`", rule, name))
    return names | {
        "min_face": embedder.min_face,
        "min_score": found.search.min_score if isinstance(found, FaceDetector) else None,
        "mirror": embedder.mirror,
        "max_pixels": embedder.max_pixels,
        "device": embedder.predictor.device,
        "runtime": embedder.predictor.runtime,
        "precision": embedder.predictor.precision,
    }


def _opened(known: KnownFaces, workers: int | None, **settings: Any) -> OpenedModel:
    """Open the models in a process of a cluster; see `FaceEmbedder.load`."""
    embedder = FaceEmbedder.load(**settings)
    return OpenedModel(embedder.identity, partial(identified_rows, known, embedder, workers))
