"""``cnnkit classify`` as a function."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cnnkit.bundles import Bundle, open_model
from cnnkit.classification.classifier import DEFAULT_MODEL, Classifier, Decision
from cnnkit.classification.example_classes import ExampleFiles
from cnnkit.classification.folders import classified_rows, classify_folders
from cnnkit.cluster import OpenedModel
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import (
    SHARD_SIZE,
    cluster_for,
    model_elsewhere,
    place_elsewhere,
    progress_on,
)
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
    path_of,
    pixel_limit,
    prefix_of,
    text_of,
    worker_count,
)
from cnnkit.commands.opened import opened_bundle
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive
from cnnkit.folder_job import Outputs, RowAndFeatures, Summary
from cnnkit.images import Found
from cnnkit.runtime import RuntimeOptions
from cnnkit.video import FrameSelection
from cnnkit.writers.remote_files import remote_files
from cnnkit.writers.row_tables import ClassificationTable
from cnnkit.writers.shards import Shard


@keeps_inputs
def classify(
    inputs: Inputs,
    *,
    model: AnyPath = DEFAULT_MODEL,
    weights: AnyPath | None = None,
    labels: AnyPath | None = None,
    examples: AnyPath | None = None,
    top_k: int = 5,
    threshold: float | None = None,
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
    embeddings: AnyPath | None = None,
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
    """Classify images and write one row per image, in order: a result or an error.

    Args:
        inputs: A file, folder or pattern such as ``photos/**/*.jpg``, or several of them.
        model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME``, a Darknet
            ``.cfg`` file, an ONNX, TFLite, or OpenVINO ``.xml`` file, or a SavedModel folder.
        weights: Weights for ``keras:NAME``, instead of Keras's download, or for a ``.cfg`` file.
        labels: A file with one label per line, for a model without labels.
        examples: A folder with one folder for each class and a few images in each: images are
            named by their nearest examples in the model's embedding space, and nothing is
            learned. Scores are cosine similarities. A scan of the inputs skips this folder.
        top_k: Predictions per image, at least 1.
        threshold: Below this score, from 0 to 1, the label is ``unknown``. With `examples`, it is
            calibrated on them by default.
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
        report: An HTML page with thumbnails and predictions, a file or URL.
        embeddings: A file or URL of the penultimate features: ``.npy`` or ``.parquet``.
        sort_into: A folder to sort the images into, with one subfolder per class.
        how: How `sort_into` places images: ``copy``, ``link`` or ``move``.
        fit: How images are fitted to the network's input: ``crop``, ``pad`` or ``stretch``; the
            model's own by default.
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
    outputs = Outputs(
        rows=path_of(output),
        embeddings=path_of(embeddings),
        report=path_of(report),
        sort_into=path_of(sort_into),
        how=how,
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        prefix=prefix_of(output),
        remote=remote_files(output, embeddings, report),
    )
    # The scan of a folder skips what sorting puts there, and the examples, which may lie in it.
    exclude = [os.fspath(folder) for folder in (sort_into, examples) if folder]
    videos = FrameInputs(paths, FrameSelection(every, from_time, to_time, frames), exclude, column)
    videos.refuse_frames(sort_into=sort_into, shard=shard, engine=engine)
    cluster = cluster_for(engine, shard_size, outputs, paths, column=column)
    decision = Decision(top_k, threshold)
    example_files = _read_examples(examples, labels, sort_into)
    options = RuntimeOptions(device, runtime, precision, threads)
    bundle = opened_bundle(model, weights, labels)
    limit = pixel_limit(max_pixels)
    # What is the same in each process of a cluster; see `Classifier.from_bundle`.
    settings: dict[str, Any] = {
        "decision": decision,
        "fit": fit,
        "features": embeddings is not None,
        "max_pixels": limit,
    }
    classifier = Classifier.from_bundle(
        bundle,
        **settings,
        options=options,
        batch_size=batch_size,
        expected=videos.expected,
        examples=example_files,
    )
    same_on_resume = {
        "model": bundle.card.name,
        "top_k": top_k,
        "threshold": threshold,
        "fit": classifier.spec.fit,
        "max_pixels": limit,
        "runtime": classifier.predictor.runtime,
        "precision": classifier.predictor.precision,
        "sort_into": text_of(sort_into),
        "how": how,
        "embeddings": text_of(embeddings),
        **videos.options(),
        **({} if example_files is None else {"examples": example_files.summary}),
    }
    if cluster is not None:
        opens = partial(
            _opened,
            settings,
            place_elsewhere(examples),
            **model_elsewhere(model, weights, labels, classifier.predictor),
            threads=threads,
            workers=worker_count(workers, threads),
        )
        identity = _identity(bundle, example_files)
        cluster.order(opens, identity, uses_gpu=classifier.predictor.device == "gpu")
    progress, counted = progress_on(cluster, progress, lambda: videos.finder(limit, decodes=False))
    return classify_folders(
        classifier,
        videos.finder(limit),
        outputs,
        options=same_on_resume,
        given=os.path.abspath(model) if os.path.exists(model) else os.fspath(model),
        workers=worker_count(workers, threads),
        emit=counting(emit, progress, counted, outputs.shard),
        table=videos.table(ClassificationTable(top_k)),
        engine=cluster,
    )


def _read_examples(
    examples: AnyPath | None, labels: AnyPath | None, sort_into: AnyPath | None
) -> ExampleFiles | None:
    """Find the examples, if there are any.

    Raises:
        UsageError: They cannot be used, or not with the other two.
    """
    if examples is None:
        return None
    if labels:
        fix = "The classes are the folders of the examples."
        raise UsageError(mutually_exclusive("`labels`", "`examples`", fix))
    if sort_into and os.path.realpath(examples) in map(
        str, Path(os.path.realpath(sort_into)).parents
    ):
        fix = "The sorted images would be examples next time."
        raise UsageError(broken_rule("`sort_into`", "lie outside `examples`", sort_into, fix))
    return ExampleFiles.read(examples)


def _opened(
    settings: dict[str, Any],
    examples: str | None,
    workers: int | None,
    model: str,
    weights: str | None,
    labels: str | None,
    batch_size: int | None,
    **options: Any,
) -> OpenedModel:
    """Open the model in a process of a cluster; see `Classifier.from_bundle`."""
    bundle = open_model(model, weights, labels)
    files = None if examples is None else ExampleFiles.read(examples)
    classifier = Classifier.from_bundle(
        bundle,
        **settings,
        options=RuntimeOptions(**options),
        batch_size=batch_size,
        examples=files,
    )
    rows = partial(_rows_elsewhere, classifier, workers, settings["features"])
    return OpenedModel(_identity(bundle, files), rows)


def _identity(bundle: Bundle, examples: ExampleFiles | None) -> str:
    """Return what rows depend on besides the options."""
    return f"{bundle.answers_hash} {'' if examples is None else examples.digest}"


def _rows_elsewhere(
    classifier: Classifier, workers: int | None, features: bool, found: Iterable[Found]
) -> Iterator[RowAndFeatures]:
    """Yield rows, with features only if somebody asks for them: they are sent over a network."""
    for row, vector in classified_rows(classifier, workers, found):
        yield row, vector if features else None
