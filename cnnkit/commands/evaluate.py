"""`evaluate`: evaluates a model on labeled data, for any task."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.bundles import Bundle
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import Progress, counter, text_of
from cnnkit.commands.opened import opened_bundle
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.targets import target_page
from cnnkit.writers.terminal import printable

log = logging.getLogger("cnnkit")

# Parameters that mean something for some tasks only.
TASKS_OF_PARAMETERS = {
    "`images`": ("detect",),
    "`split`": ("classify", "detect"),
}


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a model.

    Attributes:
        figures: All results as JSON values; docs/output.md has the schema of each task.
        problems: Invalid boxes in the data that were fixed or dropped, one line each.
        unknown_classes: Classes in the data that a detector does not know; they score 0.
    """

    figures: dict[str, Any]
    problems: tuple[str, ...] = ()
    unknown_classes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The task of the model: ``classify``, ``detect`` or ``embed-face``."""
        return str(self.figures["task"])

    @property
    def metrics(self) -> dict[str, Any]:
        """The main metrics, such as ``top_1``, ``AP50`` or ``auc``."""
        return dict(self.figures["metrics"])

    @property
    def failed(self) -> int:
        """Number of images, or pairs of images, that could not be evaluated."""
        return int(self.figures["data"]["errors"])

    def to_dict(self) -> dict[str, Any]:
        """Return all results as JSON values."""
        return self.figures


@dataclass(frozen=True)
class _Request:
    """What the evaluation of a task is given beside the model."""

    data: str
    root: str | None
    images: str | None
    split: str | None
    fit: str | None
    batch_size: int | None
    max_pixels: int
    workers: int | None
    options: RuntimeOptions
    progress: Progress | None


@keeps_inputs
def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
    split: str | None = None,
    report: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    fit: str | None = None,
    max_pixels: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a classifier, a detector or a face embedder on labeled data.

    Args:
        model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME``, a ``.cfg``,
            an ONNX, TFLite, or OpenVINO ``.xml`` file, or a SavedModel folder.
        data: For a classifier, a folder of class folders, a folder with ``train/``, ``val/`` or
            ``test/`` of such folders, or a CSV with the columns file and class. For a detector,
            images with boxes: COCO's JSON, Pascal VOC's XML or YOLO's text files. For a face
            embedder, a CSV with the columns a, b and same, or the ``pairs.txt`` of LFW.
        weights: Weights for ``keras:NAME`` or a ``.cfg``.
        labels: A file with one label per line, for a model without labels.
        root: The folder that the files of a CSV are relative to.
        images: The folder of the images, for data with boxes.
        split: ``train``, ``val`` or ``test``; everything but train by default.
        report: An HTML page to write, with tables, curves and mistakes.
        overwrite: Overwrite an existing report.
        fit: ``crop``, ``pad`` or ``stretch``; the model's default if None.
        max_pixels: Largest number of pixels of an image to decode; about 179 million by default.
        batch_size: Images per batch; chosen for the runtime by default.
        workers: Threads that read and predict; by default one more than CPUs.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        threads: Number of CPU threads; 0 uses all that are available.
        progress: Called with the number of inputs done and the total.

    Returns:
        The main ``.metrics``, such as ``top_1``, ``AP50`` or ``auc``; all figures in
        ``.figures``, as ``cnnkit evaluate --json`` writes them.

    Raises:
        UsageError: An argument is invalid, or there is nothing to evaluate.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        OutputError: The report cannot be written.
    """
    page = target_page(report, overwrite)
    bundle = opened_bundle(model, weights, labels)
    _check_task(bundle, {"`images`": images, "`split`": split})
    options = RuntimeOptions(device, runtime, precision, threads)
    request = _Request(
        os.fspath(data),
        text_of(root),
        text_of(images),
        split,
        fit,
        batch_size,
        max_pixels or DEFAULT_MAX_PIXELS,
        workers or (threads + 1 if threads else None),
        options,
        progress,
    )
    evaluation = EVALUATIONS[bundle.card.task](bundle, request)
    if page is not None:
        _write_report(page, bundle, evaluation.figures)
    return evaluation


def _check_task(bundle: Bundle, given: dict[str, object]) -> None:
    """Refuse a model of another task, and what its task has no use for."""
    task = bundle.card.task
    if task not in EVALUATIONS:
        rule = f"be a model for one of {', '.join(EVALUATIONS)}"
        raise UsageError(broken_rule("`model`", rule, f"one for {task}"))
    for name, tasks in TASKS_OF_PARAMETERS.items():
        if given[name] is not None and task not in tasks:
            other = f"a model for {' or '.join(tasks)}"
            raise UsageError(requires(name, other, f"Received: a model for {task}."))


def _classifier(bundle: Bundle, request: _Request) -> Evaluation:
    from cnnkit.classification import Classifier, evaluate
    from cnnkit.classification.classifier import Decision
    from cnnkit.classification.evaluation import TOP_K
    from cnnkit.classification.labeled import read_labeled

    images = read_labeled(request.data, bundle.labels, request.root, request.split)
    if request.split != "train":
        _tell_of_learned(bundle, [image.path for image in images])
    classifier = Classifier.from_bundle(
        bundle,
        Decision(top_k=TOP_K),
        fit=request.fit,
        options=request.options,
        batch_size=request.batch_size,
        max_pixels=request.max_pixels,
    )
    figures = evaluate(
        classifier,
        images,
        data=request.data,
        workers=request.workers,
        progress=counter(request.progress, len(images)),
    )
    return Evaluation(figures)


def _tell_of_learned(bundle: Bundle, paths: list[str]) -> None:
    """Warn if a classifier is evaluated on images that it was trained on."""
    from cnnkit.classification.learned_images import SPLIT_FILE, count_learned, learned_contents

    folder = Path(bundle.request["model"])
    count = count_learned(paths, learned_contents(folder))
    if count:
        log.warning(
            "%s was trained on %s of these %s images; results on new images will be lower. "
            "%s has the split: pass it as `data`, and the images' folder as `root`.",
            printable(bundle.card.name),
            f"{count:,}",
            f"{len(paths):,}",
            printable(str(folder / SPLIT_FILE)),
        )


def _detector(bundle: Bundle, request: _Request) -> Evaluation:
    from cnnkit.detection import Detector
    from cnnkit.detection.evaluation import EVALUATED, evaluate_detector
    from cnnkit.formats import read_boxes

    if request.root is not None:
        raise UsageError(requires("`root`", "a CSV file", "For boxes, use `images`."))
    boxes = read_boxes(request.data, request.images)
    detector = Detector.from_bundle(
        bundle,
        EVALUATED,
        fit=request.fit,
        options=request.options,
        batch_size=request.batch_size,
        max_pixels=request.max_pixels,
    )
    done = evaluate_detector(
        detector,
        boxes,
        split=request.split,
        workers=request.workers,
        progress=counter(request.progress, len(boxes.images)),
    )
    problems = tuple(f"{one.path}: {one.code} ({one.detail})" for one in done.problems)
    return Evaluation(done.figures, problems, done.unknown)


def _face_embedder(bundle: Bundle, request: _Request) -> Evaluation:
    from cnnkit.faces import FaceVerifier
    from cnnkit.faces.evaluation import evaluate_pairs
    from cnnkit.formats.face_pairs import read_pairs

    for name, value in {"`fit`": request.fit, "`batch_size`": request.batch_size}.items():
        if value:
            raise UsageError(requires(name, "a classifier or a detector"))
    pairs = read_pairs(Path(request.data), Path(request.root) if request.root else None)
    # A photo of LFW has the person in the middle and others behind: the largest face is meant.
    verifier = FaceVerifier(_opened_embedder(bundle, request), "largest")
    figures = evaluate_pairs(
        verifier,
        pairs,
        data=request.data,
        workers=request.workers,
        progress=counter(request.progress, len(pairs)),
    )
    return Evaluation(figures)


def _opened_embedder(bundle: Bundle, request: _Request) -> Any:
    """Compile an opened embedder, with the detector if it takes aligned faces."""
    from cnnkit.faces import FaceEmbedder
    from cnnkit.faces.embedding import faces_for

    found = faces_for(bundle, request.options)
    return FaceEmbedder(found, bundle, options=request.options, max_pixels=request.max_pixels)


EVALUATIONS: dict[str, Callable[[Bundle, _Request], Evaluation]] = {
    "classify": _classifier,
    "detect": _detector,
    "embed-face": _face_embedder,
}


def _write_report(page: Path, bundle: Bundle, figures: dict[str, Any]) -> None:
    title = f"Evaluation of {bundle.card.name}"
    if bundle.card.task == "classify":
        from cnnkit.images import thumbnail
        from cnnkit.reports.evaluation import write_evaluation

        write_evaluation(page, figures, title=title, thumbnail=thumbnail)
    elif bundle.card.task == "detect":
        from cnnkit.reports.detection import write_detection_report

        write_detection_report(
            page,
            title=title,
            subtitle=f"{bundle.card.name} on {figures['data']['path']}",
            evaluation=figures,
            errors=figures["errors"],
        )
    else:
        from cnnkit.reports.face_evaluation import write_face_evaluation

        write_face_evaluation(page, figures, title=title)
