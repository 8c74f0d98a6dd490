"""`identify`: names the faces in images by a gallery, one row per image."""

from __future__ import annotations

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    ShardLike,
    check_positive,
    counting,
    input_list,
    path_of,
)
from cnnkit.faces.gallery import Gallery
from cnnkit.faces.gallery.identifying import identify as identify_found
from cnnkit.folder_job import Outputs, Summary
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
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
        output: The file of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        resume: Resume an interrupted run of `output`.
        overwrite: Overwrite existing files.
        retry_errors: With `resume`: retry inputs that failed.
        shard: Which shard of the inputs to take, ``"I/N"`` or ``(I, N)``: the inputs I, I + N,
            I + 2N and so on, counted from 0. `merge` joins the files of all N.
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
    check_positive(workers=workers)
    outputs = Outputs(
        rows=path_of(output),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
    )
    embedder, settings = gallery.embedder, gallery.settings
    limit = embedder.max_pixels
    same_on_resume = {
        "threshold": settings.threshold,
        "margin": settings.margin,
        "faces": gallery.choice.faces,
        "min_face": embedder.min_face,
        "min_score": embedder.min_score,
        "max_pixels": None if limit == DEFAULT_MAX_PIXELS else limit,
    }
    return identify_found(
        gallery,
        Finder(paths, column=column),
        outputs,
        options=same_on_resume,
        workers=workers,
        emit=counting(emit, progress, lambda: Finder(paths, column=column), outputs.shard),
    )
