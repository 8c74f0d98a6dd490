"""``cnnkit explain`` as a function."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cnnkit.bundles import Bundle, open_model
from cnnkit.cluster import OpenedModel
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import (
    SHARD_SIZE,
    cluster_for,
    named_elsewhere,
    place_elsewhere,
    precision_elsewhere,
    progress_on,
)
from cnnkit.commands.explain_subjects import explainer_of_detector, explainer_of_faces
from cnnkit.commands.frames import FrameInputs
from cnnkit.commands.inputs import (
    AnyPath,
    Emit,
    Inputs,
    Progress,
    ShardLike,
    counting,
    input_list,
    path_of,
    pixel_limit,
    prefix_of,
    text_of,
    worker_count,
)
from cnnkit.commands.opened import opened_bundle
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.explanation import Explainer
from cnnkit.explanation.folders import (
    OVERLAY_SIDE,
    TABLE,
    SavedImages,
    explain_folders,
    explained_rows,
)
from cnnkit.explanation.scored import METHOD, ScoredExplainer
from cnnkit.folder_job import Outputs, Summary
from cnnkit.images import read_bytes
from cnnkit.runtime import RuntimeOptions
from cnnkit.video import FrameSelection
from cnnkit.writers.remote_files import remote_files
from cnnkit.writers.replacing import check_writable
from cnnkit.writers.shards import Shard


@dataclass(frozen=True)
class _Question:
    """What is asked of the model, whatever its task; see `explain`."""

    method: str | None
    class_name: str | None
    layer: str | None
    scale: float | None
    box_share: float
    reference: str | None
    fit: str | None
    max_pixels: int
    options: RuntimeOptions


@keeps_inputs
def explain(
    inputs: Inputs,
    *,
    model: AnyPath = "efficientnet-lite0",
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    method: str | None = None,
    class_name: str | None = None,
    layer: str | None = None,
    scale: float | None = None,
    box_share: float = 0.2,
    reference: AnyPath | None = None,
    overlays: AnyPath | None = None,
    maps: AnyPath | None = None,
    size: int = OVERLAY_SIDE,
    every: str | None = None,
    from_time: str | float | None = None,
    to_time: str | float | None = None,
    frames: bool = False,
    output: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    retry_errors: bool = False,
    shard: ShardLike | None = None,
    engine: str | None = None,
    shard_size: int = SHARD_SIZE,
    column: str | None = None,
    report: AnyPath | None = None,
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
    """Show which image regions drive a prediction, and write one row per image, in order.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        model: A classifier, a detector or a face embedder: an embedded name, a bundle folder, a
            ``.keras`` file, ``keras:NAME``, or a Darknet ``.cfg`` file.
        weights: Weights for ``keras:NAME``, instead of Keras's download, or for a ``.cfg`` file.
        labels: A file with one label per line, for a model without labels.
        method: ``grad-cam``, ``grad-cam++``, ``gradients``, ``smoothgrad``, ``occlusion`` or
            ``sliding``; by default ``grad-cam`` for classifiers, ``occlusion`` for the others.
        class_name: The class to explain; the predicted one by default.
        layer: For ``grad-cam`` and ``grad-cam++``; the last spatial layer by default.
        scale: For ``sliding``: image size as a multiple of the window; 2 by default.
        box_share: The box encloses heat above this share of the maximum, from 0 to 1.
        reference: For a face embedder: an image of the face to compare with.
        overlays: A folder for the images with the heat map drawn over them.
        maps: A folder for the heat maps, ``.npy``, float32 (height, width).
        size: Longest side of an overlay in pixels, at least 16.
        every: For videos: ``0.5s`` for one frame per half second, ``10f`` for every tenth frame,
            ``key`` for the key frames only; all frames by default. With it, the videos of a
            folder are read too.
        from_time: For videos: start, in seconds or as ``1:30``.
        to_time: For videos: end, in seconds or as ``1:30``, exclusive.
        frames: Take every frame of animated GIF, WebP, and PNG files and every page of TIFF
            files, not the first only.
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
        report: An HTML page to browse.
        fit: How images are fitted to the network's input: ``crop``, ``pad`` or ``stretch``; the
            model's own by default.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        batch_size: Images per batch; chosen for the runtime by default.
        workers: Threads that read and explain; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16``, or with ``occlusion`` ``int8``.
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
    outputs = Outputs(
        rows=path_of(output),
        report=path_of(report),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        prefix=prefix_of(output),
        remote=remote_files(output),
    )
    images = SavedImages(path_of(overlays), path_of(maps), size)
    for folder in (images.overlays, images.heats):
        if folder is not None:
            check_writable(folder)
    exclude = [str(folder) for folder in (images.overlays, images.heats) if folder]
    videos = FrameInputs(paths, FrameSelection(every, from_time, to_time, frames), exclude, column)
    videos.refuse_frames(shard=shard, engine=engine)
    cluster = cluster_for(engine, shard_size, outputs, paths, column=column)
    options = RuntimeOptions(device, runtime, precision, threads)
    bundle = opened_bundle(model, weights, labels)
    question = _Question(
        method,
        class_name,
        layer,
        scale,
        box_share,
        text_of(reference),
        fit,
        pixel_limit(max_pixels),
        options,
    )
    explainer = _explainer_of(bundle, question, batch_size, videos.expected)
    same_on_resume = {
        "model": bundle.card.name,
        "method": explainer.method,
        "with": text_of(reference),
        "with_sha256": None if reference is None else _content_hash(os.fspath(reference)),
        "class": class_name,
        "layer": layer,
        "scale": scale,
        "box_share": box_share,
        "fit": explainer.spec.fit,
        "max_pixels": pixel_limit(max_pixels),
        "runtime": explainer.predictor.runtime,
        "precision": explainer.predictor.precision,
        "overlays": text_of(overlays),
        "maps": text_of(maps),
        "size": size,
        **videos.options(),
    }
    limit = pixel_limit(max_pixels)
    if cluster is not None:
        compiled = explainer.predictor
        where = getattr(compiled, "device", device)
        in_bits = precision_elsewhere(compiled.precision)
        chosen = RuntimeOptions(where, compiled.runtime, in_bits, threads)
        opens = partial(
            _opened,
            [named_elsewhere(model), place_elsewhere(weights), place_elsewhere(labels)],
            replace(question, reference=place_elsewhere(reference), options=chosen),
            getattr(compiled, "batch_size", batch_size),
            images,
            outputs.report,
            worker_count(workers, threads),
        )
        cluster.order(opens, bundle.answers_hash, uses_gpu=where == "gpu")
    progress, counted = progress_on(cluster, progress, lambda: videos.finder(limit, decodes=False))
    return explain_folders(
        explainer,
        videos.finder(limit),
        outputs,
        images,
        options=same_on_resume,
        workers=worker_count(workers, threads),
        emit=counting(emit, progress, counted, outputs.shard),
        table=videos.table(TABLE),
        engine=cluster,
    )


def _content_hash(path: str) -> str:
    """Return the SHA-256 of an image that was read before."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _opened(
    model: list[str | None],
    question: _Question,
    batch_size: int | None,
    images: SavedImages,
    report: Path | None,
    workers: int | None,
) -> OpenedModel:
    """Open the model in a process of a cluster."""
    name, weights, labels = model
    bundle = open_model(str(name), weights, labels)
    explainer = _explainer_of(bundle, question, batch_size, None)
    rows = partial(explained_rows, explainer, images, report, workers)
    return OpenedModel(bundle.answers_hash, rows)


def open_explainer(
    bundle: Bundle,
    options: RuntimeOptions,
    max_pixels: int,
    *,
    method: str | None = None,
    class_name: str | None = None,
    box_share: float = 0.2,
) -> Explainer | ScoredExplainer:
    """Return what explains single images by an opened classifier or detector; see `explain`."""
    question = _Question(method, class_name, None, None, box_share, None, None, max_pixels, options)
    return _explainer_of(bundle, question, None, None)


def _explainer_of(
    bundle: Bundle, question: _Question, batch_size: int | None, expected: int | None
) -> Explainer | ScoredExplainer:
    """Return what explains a model of that task."""
    task = bundle.card.task
    if question.reference is not None and task != "embed-face":
        fix = f"Received: a model for {task}."
        raise UsageError(requires("`reference`", "a model for embed-face", fix))
    if task not in ("classify", "detect", "embed-face"):
        rule = "be a classifier, a detector, or a model for embed-face (with `reference`)"
        raise UsageError(broken_rule("`model`", rule, f"a model for {task}"))
    if task in ("detect", "embed-face"):
        return _scored(bundle, question)
    return Explainer(
        bundle,
        "grad-cam" if question.method is None else question.method,
        class_name=question.class_name,
        layer=question.layer,
        fit=question.fit,
        scale=question.scale,
        box_share=question.box_share,
        options=question.options,
        batch_size=batch_size,
        expected=expected,
        max_pixels=question.max_pixels,
    )


def _scored(bundle: Bundle, question: _Question) -> ScoredExplainer:
    task = bundle.card.task
    if question.method not in (None, METHOD):
        rule = f"be {METHOD} for a model for {task}"
        raise UsageError(broken_rule("`method`", rule, question.method))
    refused = [("`layer`", question.layer), ("`scale`", question.scale)]
    if task == "embed-face":
        refused += [("`class_name`", question.class_name), ("`fit`", question.fit)]
    for option, value in refused:
        if value is not None:
            known = "classify" if option in ("`layer`", "`scale`") else "classify or detect"
            fix = f"Received: a model for {task}."
            raise UsageError(requires(option, f"a model for {known}", fix))
    more = {"box_share": question.box_share, "max_pixels": question.max_pixels}
    if task == "detect":
        return explainer_of_detector(
            bundle, question.class_name, question.options, question.fit, **more
        )
    return explainer_of_faces(bundle, question.reference, question.options, **more)
