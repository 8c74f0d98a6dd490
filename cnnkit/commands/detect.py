"""``cnnkit detect`` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cnnkit.bundles import open_model
from cnnkit.cluster import OpenedModel
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import SHARD_SIZE, cluster_for, model_elsewhere, progress_on
from cnnkit.commands.frames import FrameInputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    ShardLike,
    check_sortable,
    counting,
    input_list,
    path_list,
    path_of,
    pixel_limit,
    prefix_of,
    text_of,
    worker_count,
)
from cnnkit.commands.opened import opened_bundle
from cnnkit.detection.detector import DEFAULT_MODEL, Detector
from cnnkit.detection.folders import detect_folders, detected_rows
from cnnkit.detection.outputs import BoxOutputs, check_apart
from cnnkit.detection.selection import Selection
from cnnkit.detection.where import Where
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive
from cnnkit.folder_job import Outputs, Summary
from cnnkit.formats import with_form
from cnnkit.runtime import RuntimeOptions
from cnnkit.storage.places import is_url
from cnnkit.video import FrameSelection, holds_video
from cnnkit.video.tracking import LOW_SHARE, RowTracker
from cnnkit.writers.remote_files import local_file, remote_files
from cnnkit.writers.row_tables import DetectionTable
from cnnkit.writers.shards import Shard

_RETRIED = "A frame that is read later would change the tracks of all that follow."
_ELSEWHERE = "Objects are followed from frame to frame, in one process."


@keeps_inputs
def detect(
    inputs: Inputs,
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    confidence: float | Mapping[str, float] | None = None,
    iou: float | None = None,
    classes: str | Sequence[str] = (),
    agnostic: bool | Sequence[Sequence[str]] | None = None,
    tile: int | None = None,
    where: str | None = None,
    track: bool = False,
    every: str | None = None,
    from_time: str | float | None = None,
    to_time: str | float | None = None,
    frames: bool = False,
    output: Inputs | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    shard: ShardLike | None = None,
    engine: str | None = None,
    shard_size: int = SHARD_SIZE,
    column: str | None = None,
    annotate: AnyPath | None = None,
    crops: AnyPath | None = None,
    counts: AnyPath | None = None,
    report: AnyPath | None = None,
    sort_into: AnyPath | None = None,
    how: str = "copy",
    fit: str | None = None,
    max_pixels: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    emit: Emit | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Detect objects in images and write one row per image, in order: the boxes or an error.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        model: An embedded name, a bundle folder, a Darknet ``.cfg`` file, an ONNX, TFLite, or
            OpenVINO ``.xml`` file, or a SavedModel folder.
        weights: The ``.weights`` file that belongs to a ``.cfg`` file.
        labels: A file with one label per line, for a model without labels.
        confidence: Minimum score from 0 to 1, for all classes or by class name. In a
            mapping, the empty name stands for all other classes.
        iou: IoU threshold of non-maximum suppression, from 0 to 1.
        classes: Names of the classes to keep; all if empty.
        agnostic: True keeps one box per object regardless of class; or groups of class names within
            which boxes suppress each other.
        tile: Side of overlapping tiles, in pixels of the image, to search in addition to the
            whole image; 0 uses the network's input size; None searches the whole image only.
        where: Only images that meet a condition such as ``person>=1 and not dog``.
        track: Follow the objects of videos: each gets a number that lasts from frame to frame.
        every: For videos: ``0.5s`` for one frame per half second, ``10f`` for every tenth frame,
            ``key`` for the key frames only; all frames by default. With it, the videos of a
            folder are read too.
        from_time: For videos: start, in seconds or as ``1:30``.
        to_time: For videos: end, in seconds or as ``1:30``, exclusive.
        frames: Take every frame of animated GIF, WebP, and PNG files and every page of TIFF
            files, not the first only.
        output: One or several of: a file of rows (``.jsonl``, ``.csv``, ``.parquet``),
            ``coco:FILE.json``, ``yolo:FOLDER``, ``voc:FOLDER``. Files may be URLs.
        resume: Resume an interrupted run of the first file of rows.
        overwrite: Overwrite existing files.
        retry_errors: With `resume`: retry inputs that failed.
        shard: Which shard of the inputs to take, ``"I/N"`` or ``(I, N)``: the inputs I, I + N,
            I + 2N and so on, counted from 0. `merge` joins the files of all N.
        engine: ``ray`` to run one process per machine of a Ray cluster: of this machine alone, or
            ``ray:auto`` or ``ray:HOST:PORT``.
        shard_size: With `engine`: number of inputs that a process takes at a time.
        column: The column of Parquet files that holds the images' bytes; by default ``image``, with
            its field ``bytes``, or ``bytes``.
        annotate: A folder for the images and videos with boxes drawn; for one video, also a file
            that ends in ``.mp4``.
        crops: A folder for crops of the objects, with one subfolder per class.
        counts: A CSV file or URL with the number of objects per class and image; with `track`, of
            different objects per class and video.
        report: An HTML page with thumbnails and boxes, a file or URL.
        sort_into: A folder to sort the images into, one subfolder per class of the best detection.
        how: How `sort_into` places images: ``copy``, ``link`` or ``move``.
        fit: How images are fitted to the network's input: ``pad`` or ``stretch``; the model's own
            by default.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        batch_size: Images per batch; chosen for the runtime by default.
        workers: Threads that read and predict; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        threads: Number of CPU threads; 0 uses all that are available.
        emit: Called with each new row, a dictionary as in a JSON Lines file.
        progress: Called with the number of new rows so far and the number of inputs.

    Returns:
        The numbers of inputs that succeeded, failed, were resumed and were skipped.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    paths = input_list(inputs)
    check_sortable(paths, sort_into)
    places = _Places.of(output)
    _refuse_together(where, track, places, shard, engine, retry_errors)
    objects = remote_files(*places.rows, *(path for _, path in places.boxes), counts, report)
    outputs = Outputs(
        rows=path_of(places.rows[0]) if places.rows else None,
        report=path_of(report),
        sort_into=path_of(sort_into),
        how=how,
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        prefix=places.prefix,
        remote=objects,
    )
    further = BoxOutputs(
        rows=[path for place in places.rows[1:] if (path := path_of(place))],
        boxes=places.local_boxes,
        annotate=path_of(annotate),
        crops=path_of(crops),
        counts=path_of(counts),
        root=root_of(paths),
        replace=outputs.replaces,
        track=track,
        made_here=frozenset(one.local for one in objects),
        of_shard=shard is not None,
    )
    _check_outputs(outputs, further, paths)
    exclude = [str(folder) for folder in (*further.folders, outputs.sort_into) if folder]
    videos = FrameInputs(paths, FrameSelection(every, from_time, to_time, frames), exclude, column)
    videos.refuse_frames(sort_into=sort_into, shard=shard, engine=engine)
    if track:
        videos.refuse_tracking()
    cluster = cluster_for(engine, shard_size, outputs, paths, column=column)
    selection = Selection.of(confidence, iou, classes, agnostic)
    detector = Detector.from_bundle(
        opened_bundle(model, weights, labels),
        selection,
        tile=tile,
        fit=fit,
        options=RuntimeOptions(device, runtime, precision, threads),
        batch_size=batch_size,
        expected=videos.expected,
        max_pixels=pixel_limit(max_pixels),
    )
    same_on_resume = {
        **_asked(detector, selection, tile, where),
        "sort_into": text_of(sort_into),
        "how": how,
        **videos.options(),
        **({"track": True} if track else {}),
    }
    limit, workers = detector.max_pixels, worker_count(workers, threads)
    if cluster is not None:
        opens = partial(
            _opened,
            **model_elsewhere(model, weights, labels, detector.predictor),
            selection=selection,
            tile=tile,
            fit=fit,
            max_pixels=limit,
            threads=threads,
            workers=workers,
        )
        gpu = detector.predictor.device == "gpu"
        cluster.order(opens, detector.bundle.answers_hash, uses_gpu=gpu)
    progress, counted = progress_on(cluster, progress, lambda: videos.finder(limit, decodes=False))
    return detect_folders(
        detector,
        videos.finder(limit),
        outputs,
        further,
        where=_condition(where, detector),
        options=same_on_resume,
        workers=workers,
        emit=counting(emit, progress, counted, outputs.shard),
        table=videos.table(DetectionTable(track)),
        tracker=RowTracker(detector.find_weaker(LOW_SHARE)) if track else None,
        engine=cluster,
    )


@dataclass(frozen=True)
class _Places:
    """The outputs that the user names.

    Attributes:
        rows: Files of rows.
        boxes: Forms of boxes, such as ``coco``, each with its file or folder.
    """

    rows: list[str]
    boxes: list[tuple[str | None, str]]

    @classmethod
    def of(cls, output: Inputs | None) -> _Places:
        """Tell them apart."""
        places = path_list(output)
        formed = [with_form(place) for place in places]
        rows = [place for place, (form, _) in zip(places, formed, strict=True) if form is None]
        return cls(rows, [one for one in formed if one[0] is not None])

    @property
    def prefix(self) -> str | None:
        """The beginning of the parts' names where rows are written in parts."""
        return prefix_of(self.rows[0]) if self.rows else None

    @property
    def local_boxes(self) -> list[str]:
        """The outputs of boxes, a file on this machine in the place of each URL."""
        return [
            f"{form}:{local_file(path)}" if is_url(path) else f"{form}:{path}"
            for form, path in self.boxes
        ]


def _refuse_together(
    where: str | None,
    track: bool,
    places: _Places,
    shard: ShardLike | None,
    engine: str | None,
    retry_errors: bool,
) -> None:
    """Refuse arguments that exclude each other."""
    left_out = "Rows that are left out cannot be merged in order: select them afterwards."
    in_parts = "Parts have a row for each image: select them afterwards."
    selects, parts = where is not None, places.prefix is not None
    for name, other, are_given, fix in (
        ("`shard`", "`where`", shard is not None and selects, left_out),
        ("`where`", "an `output` that ends with /", parts and selects, in_parts),
        ("`track`", "`engine`", track and engine is not None, _ELSEWHERE),
        ("`track`", "`retry_errors`", track and retry_errors, _RETRIED),
    ):
        if are_given:
            raise UsageError(mutually_exclusive(name, other, fix))


def _condition(where: str | None, detector: Detector) -> Where | None:
    if where is None:
        return None
    return Where(where, detector.bundle.labels, np.isfinite(detector.least))


def _opened(
    workers: int | None,
    model: str,
    weights: str | None,
    labels: str | None,
    selection: Selection,
    tile: int | None,
    fit: str | None,
    batch_size: int | None,
    max_pixels: int,
    **options: Any,
) -> OpenedModel:
    """Open the model in a process of a cluster; see `Detector.from_bundle`."""
    bundle = open_model(model, weights, labels)
    detector = Detector.from_bundle(
        bundle,
        selection,
        tile=tile,
        fit=fit,
        options=RuntimeOptions(**options),
        batch_size=batch_size,
        max_pixels=max_pixels,
    )
    return OpenedModel(bundle.answers_hash, partial(detected_rows, detector, workers))


def _asked(
    detector: Detector, selection: Selection, tile: int | None, where: str | None
) -> dict[str, Any]:
    """Return what a resumed run must have in common with the first one."""
    groups = selection.agnostic
    return {
        "model": detector.bundle.card.name,
        "confidence": selection.confidence,
        "confidences": dict(selection.confidences),
        "iou": detector.iou,
        "classes": list(selection.classes),
        "agnostic": None if groups is None else [list(group) for group in groups],
        "tile": tile,
        "where": where,
        "fit": detector.spec.fit,
        "max_pixels": detector.max_pixels,
        "runtime": detector.predictor.runtime,
        "precision": detector.predictor.precision,
    }


def _check_outputs(outputs: Outputs, further: BoxOutputs, paths: Sequence[str]) -> None:
    """Refuse outputs that take each other's place, lie beside the images, or are no clip of one."""
    files = [path for path in (outputs.rows, outputs.report) if path is not None]
    folders = [path for path in (outputs.sort_into, *further.folders) if path is not None]
    check_apart([*files, *further.files], folders, paths)
    if further.annotated_clip is not None and not (len(paths) == 1 and holds_video(paths)):
        rule, fix = "be a folder for anything but one video", "Name a folder."
        raise UsageError(broken_rule("`annotate`", rule, further.annotated_clip, fix))


def root_of(paths: Sequence[str]) -> str | None:
    """Return the one folder that was given, ending in a separator; None for anything else."""
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return os.path.join(paths[0], "")
    return None
