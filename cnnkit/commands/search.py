"""``cnnkit search`` as a function: the most similar images of an embeddings file."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import open_model
from cnnkit.classification.classifier import Classifier, Decision
from cnnkit.classification.folders import embeddings_origin
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import precision_elsewhere
from cnnkit.commands.index_update import updated
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    check_positive,
    counting,
    expected_images,
    path_list,
    path_of,
    pixel_limit,
    worker_count,
)
from cnnkit.embedding_index import EmbeddingIndex, Match
from cnnkit.errors import RuntimeUnavailableError, UsageError, broken_rule, is_required
from cnnkit.folder_job import FolderJob, Outputs, Rows, Summary
from cnnkit.images import Finder, thumbnail
from cnnkit.results import Classification, Failure, make_row, path_text, place_of
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.options import PRECISIONS
from cnnkit.writers.embedding_paths import state_of
from cnnkit.writers.row_files import batched
from cnnkit.writers.row_tables import Column, FlatTable

log = logging.getLogger("cnnkit")

# Queries that are compared with the index in one pass over it.
QUERIES_AT_ONCE = 64
MATCHES_TABLE = FlatTable(
    [
        Column("match", "text", lambda row: _names(row)[0] if _names(row) else None),
        Column("score", "number", lambda row: row["matches"][0]["score"] if _names(row) else None),
        Column("others", "text", lambda row: "; ".join(_names(row)[1:]) or None),
    ]
)


def _names(row: dict[str, Any]) -> list[str]:
    """Return the matches as one text each: of a frame, its number is part of it."""
    return [path_text(place_of(match)) for match in row.get("matches") or ()]


class _Matches:
    """The matches of one query, as a row has them."""

    def __init__(self, matches: list[Match]) -> None:
        self._matches = matches

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the row."""
        return {"matches": [match.to_dict() for match in self._matches]}


@keeps_inputs
def search(
    index: AnyPath,
    inputs: Inputs | None = None,
    *,
    top_k: int = 10,
    min_score: float = -1.0,
    update: Inputs | None = None,
    model: AnyPath | None = None,
    output: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    report: AnyPath | None = None,
    max_pixels: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Find the images of an index that are most similar to each query image.

    The index is the file that ``classify`` writes with ``embeddings="FILE.npy"``, and the file of
    paths beside it. Similarity is the cosine of the embeddings. The search is exact and reads the
    index from the disk in blocks, so its memory does not grow with the index.

    Args:
        index: The ``.npy`` file of embeddings.
        inputs: The query images: a file, folder or pattern, or several of them.
        top_k: Matches per query, at least 1.
        min_score: Only matches with at least this similarity, from -1 to 1.
        update: Images, folders and patterns to bring the index up to date with before the
            search: new and changed images are embedded, images that are gone are left out.
        model: The model of the queries, if the one that made the index has moved; it must be the
            same model.
        output: The file of the rows: ``.jsonl``, ``.csv`` or ``.parquet``.
        resume: Resume an interrupted run of `output`.
        overwrite: Overwrite existing files.
        retry_errors: With `resume`: retry inputs that failed.
        report: An HTML page with each query and its matches.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        workers: Threads that read and predict; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``; ``auto`` is that of the index
            where this machine has it.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each new row, a dictionary as in a JSON Lines file.
        progress: Called with the number of new rows so far and the number of queries.

    Returns:
        The numbers of queries that succeeded, failed, were resumed and were skipped.

    Raises:
        UsageError: An argument is invalid, or the index was made by another model.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    queries, new = path_list(inputs), path_list(update)
    check_positive(top_k=top_k)
    if not (math.isfinite(min_score) and -1 <= min_score <= 1):
        raise UsageError(broken_rule("`min_score`", "lie between -1 and 1", min_score))
    if not queries and not new:
        raise UsageError(is_required("`inputs`", "Give a query image, or several of them."))
    outputs = Outputs(
        rows=path_of(output),
        report=path_of(report),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
    )
    known = EmbeddingIndex(index)
    classifier = _classifier(
        known,
        model,
        options=RuntimeOptions(device, runtime, precision, threads),
        max_pixels=max_pixels,
        expected=None if new else expected_images(queries),
    )
    count = worker_count(workers, threads)
    if new:
        known = updated(known, Finder(new), classifier, count)

    def finder() -> Finder:
        return Finder(queries)

    emit = counting(emit, progress, finder)
    same_on_resume = {
        "index": [len(known), state_of(str(known.path))],
        "top_k": top_k,
        "min_score": min_score,
        "max_pixels": pixel_limit(max_pixels),
        "runtime": classifier.predictor.runtime,
        "precision": classifier.predictor.precision,
    }
    header = {
        "command": "search",
        "model": known.origin.content_hash,
        "options": same_on_resume,
    }
    write = partial(_write_report, index=str(known.path), images=len(known))
    job = FolderJob(outputs, header, table=MATCHES_TABLE, write_report=write)
    try:
        stream = classifier.stream(job.pending(finder()), count)
        for path, result in _searched(known, stream, top_k, min_score):
            job.record(make_row(path, result), emit=emit)
        return job.finish()
    finally:
        job.close()


def _classifier(
    index: EmbeddingIndex,
    model: AnyPath | None,
    *,
    options: RuntimeOptions,
    max_pixels: int | None,
    expected: int | None,
) -> Classifier:
    """Return the classifier whose features the index holds.

    Raises:
        UsageError: The model is another one.
    """
    bundle = open_model(index.origin.given if model is None else model)
    opened = partial(
        Classifier.from_bundle,
        bundle,
        Decision(),
        fit=index.origin.fit,
        features=True,
        expected=expected,
        max_pixels=pixel_limit(max_pixels),
    )
    classifier = _alike(index.origin.precision, options, opened)
    if embeddings_origin(classifier, "").content_hash != index.origin.content_hash:
        rule = f"be the model that made {index.path}, {index.origin.model}"
        fix = "Embeddings of different models cannot be compared."
        raise UsageError(broken_rule("`model`", rule, bundle.card.name, fix))
    return classifier


def _alike(
    precision: str, options: RuntimeOptions, opened: Callable[..., Classifier]
) -> Classifier:
    """Return the classifier in the precision of the index, unless another one is asked for.

    Embeddings in float32, bfloat16, and int8 find the same image first, but a few in a hundred of
    the next ones differ, and scores by hundredths: that is said where it cannot be avoided.
    """
    classifier = None
    wanted = precision_elsewhere(precision)
    if wanted in PRECISIONS and options.precision == "auto":
        # Another machine, or a runtime that was asked for, may not have it.
        with contextlib.suppress(RuntimeUnavailableError, UsageError):
            classifier = opened(options=replace(options, precision=wanted))
    classifier = classifier or opened(options=options)
    own = classifier.predictor.precision
    if precision and own != precision:
        told = "the index was made in %s and the queries are embedded in %s; scores are off by up "
        log.warning(told + "to some hundredths, most of all near 1", precision, own)
    return classifier


def _searched(
    index: EmbeddingIndex,
    stream: Iterator[tuple[str, Classification | Failure]],
    top_k: int,
    min_score: float,
) -> Iterator[tuple[str, _Matches | Failure]]:
    """Yield the matches of each query, in order; many are compared with the index at once."""
    first = list(islice(stream, 1))  # a lone query does not wait for others
    for some in chain([first], batched(stream, QUERIES_AT_ONCE)):
        results = [result for _, result in some if isinstance(result, Classification)]
        vectors = [result.features for result in results if result.features is not None]
        found = iter(index.search(np.stack(vectors), top_k, min_score) if vectors else ())
        for path, result in some:
            yield path, result if isinstance(result, Failure) else _Matches(next(found))


def _write_report(path: Path, rows: Rows, *, index: str, images: int) -> None:
    from cnnkit.reports.image_groups import write_matches

    write_matches(path, iter(rows), index=index, images=images, thumbnail=thumbnail)
