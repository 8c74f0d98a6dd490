"""`doctor`: finds problems in a training set before training."""

from __future__ import annotations

import os
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import Progress, counter
from cnnkit.data import read_dataset
from cnnkit.data.dataset import Dataset
from cnnkit.diagnosis.boxes import BoxExamination, examine_boxes
from cnnkit.diagnosis.classes import Examination, examine
from cnnkit.errors import ImageError, UsageError, broken_rule, requires
from cnnkit.formats import BoxSet, read_boxes
from cnnkit.formats.opening import is_box_set
from cnnkit.images import DEFAULT_MAX_PIXELS, thumbnail
from cnnkit.writers.targets import target_page

TASKS = ("auto", "classify", "detect")


@keeps_inputs
def doctor(
    data: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    task: str = "auto",
    report: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Examination | BoxExamination:
    """Find problems in a training set. No file is changed.

    Args:
        data: A folder with one folder for each class, a folder with ``train/`` and ``val/`` of
            such folders, a CSV with the columns file and label, or images with boxes: COCO's
            JSON, Pascal VOC's XML or YOLO's text files.
        root: The folder that the files of a CSV are relative to.
        images: The folder of the images, for data with boxes.
        task: The task of the data: ``classify``, ``detect``, or ``auto`` to infer it.
        report: An HTML page to write, with thumbnails of the findings.
        overwrite: Overwrite an existing report.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        workers: Threads that read; by default one per processor.
        progress: Called with the number of images done and the total.

    Returns:
        ``.findings``, worst first; ``.hurts``, whether any would harm training; and
        ``.to_dict()``.

    Raises:
        UsageError: An argument is invalid, or the data has none of these formats.
        OutputError: The report cannot be written.
    """
    page = target_page(report, overwrite)
    if task not in TASKS:
        raise UsageError(broken_rule("`task`", f"be one of {', '.join(TASKS)}", repr(task)))
    found = _examined(
        _opened(os.fspath(data), _text(root), _text(images), task),
        max_pixels or DEFAULT_MAX_PIXELS,
        workers,
        progress,
    )
    if page is not None:
        from cnnkit.reports.doctor import write_examination

        title = f"Doctor: {Path(data).name or data}"
        write_examination(page, found.to_dict(), title=title, thumbnail=_thumbnail_or_none)
    return found


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _opened(data: str, root: str | None, images: str | None, task: str) -> BoxSet | Dataset:
    has_boxes = is_box_set(data) if task == "auto" else task == "detect"
    if not has_boxes:
        if images is not None:
            raise UsageError(requires("`images`", "box annotations", f"Received: {data}."))
        return read_dataset(data, root)
    boxes = read_boxes(data, images)
    if root is not None:
        raise UsageError(requires("`root`", "a CSV file", "For boxes, use `images`."))
    return boxes


def _examined(
    data: BoxSet | Dataset,
    max_pixels: int,
    workers: int | None,
    progress: Progress | None,
) -> Examination | BoxExamination:
    count = len(data.images if isinstance(data, BoxSet) else data.files)
    advance = counter(progress, count)
    if isinstance(data, BoxSet):
        return examine_boxes(data, max_pixels=max_pixels, workers=workers, progress=advance)
    return examine(data, max_pixels=max_pixels, workers=workers, progress=advance)


def _thumbnail_or_none(path: str) -> bytes | None:
    try:
        return thumbnail(path)
    except ImageError:
        return None
