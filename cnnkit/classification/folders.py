"""`cnnkit classify` as a function: inputs in, rows and files out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnnkit.classification.classifier import Classifier
from cnnkit.errors import OutputError
from cnnkit.folder_job import FolderJob, Outputs, RowAndFeatures, RowEngine, Rows, Summary
from cnnkit.images import Found, thumbnail
from cnnkit.results import Failure, make_row
from cnnkit.sorting import ERRORS_FOLDER, UNKNOWN_FOLDER, folder_names
from cnnkit.video.rows import RowFrames
from cnnkit.writers.embedding_paths import EmbeddingsOrigin, image_line, write_paths
from cnnkit.writers.row_tables import ClassificationTable, RowTable


def classify_folders(
    classifier: Classifier,
    found: Iterable[Found],
    outputs: Outputs,
    *,
    options: dict[str, Any],
    given: str | None = None,
    top_k: int = 5,
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
    table: RowTable | None = None,
    engine: RowEngine | None = None,
) -> Summary:
    """Classify every input and leave what was requested.

    Args:
        classifier: With features, where ``outputs.embeddings`` asks for them.
        found: The inputs.
        outputs: The outputs to write.
        options: Options that must be the same when a run is resumed.
        given: What the user gave as the model, for the paths of embeddings.
        top_k: How many predictions a CSV row has.
        workers: Threads that read and predict.
        emit: Called with each row as it is produced.
        table: The columns of CSV and Parquet, instead of a classifier's with `top_k`.
        engine: Makes the rows elsewhere, by `classified_rows`.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    bundle = classifier.bundle
    header = {"command": "classify", "model": bundle.answers_hash, "options": options}
    report = partial(_write_report, model_name=bundle.card.name, options=options)
    width = feature_width(classifier) if outputs.embeddings else 0
    table = table or ClassificationTable(top_k)
    folders = partial(destination, folders=folder_names(classifier.labels))
    makers = []
    if outputs.embeddings and outputs.embeddings.suffix.lower() == ".npy":
        # Whether an image was changed since an earlier run has read it is not known.
        began = 0 if outputs.resume else time.time_ns()
        origin = embeddings_origin(classifier, given or bundle.card.name)
        makers.append(partial(_write_paths, outputs.embeddings, origin, began))
    job = FolderJob(
        outputs, header, width, table, report, makers, destination=folders, engine=engine
    )
    try:
        for row, features in job.made(found, partial(classified_rows, classifier, workers)):
            job.record(row, features, emit)
        summary = job.finish()
    finally:
        job.close()
    return summary


def classified_rows(
    classifier: Classifier, workers: int | None, found: Iterable[Found]
) -> Iterator[RowAndFeatures]:
    """Yield the row and the features of each input, in order.

    Args:
        classifier: The model.
        workers: Threads that read and predict.
        found: The inputs.
    """
    for path, result in classifier.stream(found, workers):
        yield make_row(path, result), None if isinstance(result, Failure) else result.features


def embeddings_origin(classifier: Classifier, given: str) -> EmbeddingsOrigin:
    """Return what makes a classifier's embeddings.

    Args:
        classifier: With features.
        given: What the user gave as the model.
    """
    bundle = classifier.bundle
    return EmbeddingsOrigin(
        bundle.card.name,
        given,
        bundle.content_hash,
        classifier.spec.fit,
        classifier.predictor.precision,
    )


def _write_paths(
    embeddings: Path, origin: EmbeddingsOrigin, began: int, rows: Callable[[], Rows]
) -> None:
    try:  # killed before they are written again, those of another run would seem to be of these
        embeddings.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{embeddings} cannot be removed: {reason}.") from error
    write_paths(embeddings, origin, (image_line(row, began) for row in rows()))


def destination(row: dict[str, Any], folders: Sequence[str]) -> str:
    """Return the name of a row's folder: its class's, ``_unknown`` or ``_errors``.

    Args:
        row: The output row of one image.
        folders: Folder of each class, from `cnnkit.sorting.folder_names`.
    """
    if row["status"] != "ok":
        return ERRORS_FOLDER
    best = row["predictions"][0]
    return folders[best["class_id"]] if row["label"] == best["label"] else UNKNOWN_FOLDER


def feature_width(classifier: Classifier) -> int:
    """Return how many features an image has, found by running the model on a blank one."""
    import numpy as np

    blank = np.zeros((1, classifier.spec.height, classifier.spec.width, 3), np.uint8)
    return classifier.predictor.predict(blank)["features"].shape[1]


def _write_report(path: Path, rows: Rows, *, model_name: str, options: dict[str, Any]) -> None:
    from cnnkit.reports.gallery import write_gallery

    at_hand: dict[str, Any] = {}
    frames = RowFrames()

    def noting() -> Rows:
        """Remember the one row at hand: its image may have been moved, or be a frame."""
        for row in rows:
            at_hand.clear()
            at_hand.update(row)
            yield row

    def small(name: str) -> bytes:
        """Return the thumbnail of the row at hand."""
        frame = frames.image(at_hand)
        return thumbnail(at_hand.get("sorted_to", name) if frame is None else frame)

    write_gallery(
        path,
        noting(),
        title="Images by class",
        model_name=model_name,
        thumbnail=small,
        options=options,
    )
