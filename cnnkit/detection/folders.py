"""`cnnkit detect` as a function: inputs in, rows and files out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnnkit.bundles.detector_card import detector_spec
from cnnkit.detection.detector import Detector
from cnnkit.detection.outputs import BoxOutputs
from cnnkit.detection.where import Where
from cnnkit.folder_job import FolderJob, Outputs, RowAndFeatures, RowEngine, Rows, Summary
from cnnkit.images import Found
from cnnkit.results import make_row
from cnnkit.sorting import ERRORS_FOLDER, folder_names
from cnnkit.video.tracking import RowTracker
from cnnkit.writers.row_tables import DetectionTable, RowTable

log = logging.getLogger(__name__)

NOTHING_FOLDER = "_nothing"
# An image is called large where its input is shrunk by this factor.
LARGE = 3


def detect_folders(
    detector: Detector,
    found: Iterable[Found],
    outputs: Outputs,
    further: BoxOutputs | None = None,
    *,
    where: Where | None = None,
    options: dict[str, Any],
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
    table: RowTable | None = None,
    tracker: RowTracker | None = None,
    engine: RowEngine | None = None,
) -> Summary:
    """Find the objects in every input and leave what was requested.

    Args:
        detector: What finds them.
        found: The inputs.
        outputs: The outputs to write.
        further: What else, all of it made from the rows at the end.
        where: Only images that meet it are shown, written and sorted; failures always are.
        options: Options that must be the same when a run is resumed.
        workers: Threads that read and predict.
        emit: Called with each row as it is produced.
        table: The columns of CSV and Parquet; a detector's by default.
        tracker: Follows the objects of videos.
        engine: Makes the rows elsewhere, by `detected_rows`.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    bundle, further = detector.bundle, further or BoxOutputs()
    keeps = partial(meets, where) if where is not None else None
    blank = _Blank(detector)
    with contextlib.ExitStack() as held:
        held.enter_context(further.claimed())
        job = FolderJob(
            outputs,
            {"command": "detect", "model": bundle.answers_hash, "options": options},
            table=table or DetectionTable(),
            write_report=partial(_write_report, model_name=bundle.card.name, options=options),
            makers=further.makers(
                bundle.labels, detector_spec(bundle.card).category_ids, detector.max_pixels, table
            ),
            keeps=keeps,
            destination=partial(destination, folders=folder_names(bundle.labels), where=where),
            replay=tracker.replay if tracker is not None else None,
            engine=engine,
        )
        held.callback(job.close)
        for row, _ in job.made(found, partial(detected_rows, detector, workers)):
            if tracker is not None:
                tracker.follow(row)
            blank.note(row)
            job.record(row, emit=emit if keeps is None or keeps(row) else None)
        summary = job.finish()
    blank.advise()
    return summary


def detected_rows(
    detector: Detector, workers: int | None, found: Iterable[Found]
) -> Iterator[RowAndFeatures]:
    """Yield the row of each input, in order.

    Args:
        detector: The model.
        workers: Threads that read and predict.
        found: The inputs.
    """
    for path, result in detector.stream(found, workers):
        yield make_row(path, result), None


def meets(where: Where, row: dict[str, Any]) -> bool:
    """Return whether a row is kept: a failure, or an image that meets the condition."""
    return row["status"] != "ok" or where.matches(one["label"] for one in row["detections"])


def destination(
    row: dict[str, Any], folders: Sequence[str], where: Where | None = None
) -> str | None:
    """Return the name of the folder that a row's image goes to, "" for the top one.

    Args:
        row: The output row of the image.
        folders: Folder of each class, from `cnnkit.sorting.folder_names`.
        where: Which images are sorted, all of them into the top folder; None: all are, by class.

    Returns:
        None, where it goes nowhere.
    """
    failed = row["status"] != "ok"
    if where is not None:
        return None if failed or not meets(where, row) else ""
    if failed:
        return ERRORS_FOLDER
    classes = [one["class_id"] for one in row["detections"]]
    return folders[classes[0]] if classes else NOTHING_FOLDER


class _Blank:
    """Notices large images without any object: tiles may help there."""

    def __init__(self, detector: Detector) -> None:
        self._side = 0 if detector.tiles else LARGE * max(detector.spec.height, detector.spec.width)
        self._count, self._largest = 0, 0

    def note(self, row: dict[str, Any]) -> None:
        """Take in a row: a large image in which nothing was found counts."""
        if row["status"] == "ok" and not row["detections"]:
            side = max(row["width"], row["height"])
            if self._side and side >= self._side:
                self._count += 1
                self._largest = max(self._largest, side)

    def advise(self) -> None:
        """Say at the end that tiles might help, if there were such images."""
        if self._count:
            log.info(
                "%d large images (up to %d pixels) show nothing: `tile` finds small objects.",
                self._count,
                self._largest,
            )


def _write_report(path: Path, rows: Rows, *, model_name: str, options: dict[str, Any]) -> None:
    from cnnkit.detection.report import write_report

    write_report(path, rows, model_name=model_name, options=options)
