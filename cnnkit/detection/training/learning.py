"""Trains a detector: the images, the network, its two stages, and what came of it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import math
import os
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.card import check_labels
from cnnkit.data.augment import Augmenter
from cnnkit.data.box_loaders import BoxImages, BoxLoader
from cnnkit.data.recipes import read_recipe
from cnnkit.data.splits import refuse_division
from cnnkit.detection.training.bundle import write_trained
from cnnkit.detection.training.network import DetectorNetwork, input_spec, make_network
from cnnkit.detection.training.outcome import (
    DetectorStage,
    TrainedDetector,
    epoch_figures,
    trained_classes,
)
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.formats import AnnotatedImage, BoxProblem, BoxSet, mend, read_boxes
from cnnkit.formats.annotations import is_counted
from cnnkit.images import read_bytes
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.training_devices import shared_evenly
from cnnkit.training import EpochReport, TrainingPlan, train
from cnnkit.training.freezing import stage_names
from cnnkit.training.run import StageProgress, TrainingRun, identity_of, silent

log = logging.getLogger(__name__)

# The share of the epochs after which no mosaics are made any more, so that training ends on
# images like those to come.
MOSAICS_UNTIL = 2 / 3
# How many steps a moving average looks back over, at most, as a share of all steps.
AVERAGE_OVER = 0.05
LEAST_TO_VALIDATE = 2
STAGES = ("frozen", "whole")


def learn_boxes(settings: DetectorSettings, progress: StageProgress = silent) -> TrainedDetector:
    """Train a detector on a user's own boxes and write its complete bundle.

    Args:
        settings: The settings.
        progress: Shows the stages that read images.

    Raises:
        UsageError: The data or an option breaks a rule.
        OutputError: The bundle cannot be written where it is to be.
        CnnkitError: Training produced no model.
    """
    run = TrainingRun(
        settings.output, resume=settings.resume, overwrite=settings.overwrite, stages=STAGES
    )
    with run.claimed():
        trained = _trained(settings, run.state_folder, progress)
        if run.leads:
            write_trained(run, trained)
    return trained


def _trained(
    settings: DetectorSettings, state_folder: Path, progress: StageProgress
) -> TrainedDetector:
    boxes = read_boxes(settings.data, settings.images)
    held = None
    if settings.validation_data is not None:
        held = _held_out(settings.validation_data, settings.images)
    training, validation = _split(boxes, held, settings)
    classes = trained_classes(boxes)
    problems = _problems(boxes, (*training, *validation), classes)
    check_labels(classes, "`data`")
    _check_boxes(training, validation, classes)
    problems += [] if held is None else held.problems
    for problem in problems[:5]:
        log.warning("%s: %s (%s)", problem.path, problem.code, problem.detail)
    if len(problems) > 5:
        log.warning("and %d more wrong boxes: cnnkit doctor names them", len(problems) - 5)
    spec = input_spec(settings)
    with contextlib.ExitStack() as stack:
        read = []
        for name, images in (("training", training), ("validation", validation)):
            with progress(name, len(images)) as advance:
                one = BoxImages(
                    images,
                    classes,
                    spec,
                    max_bad=settings.max_bad,
                    max_pixels=settings.max_pixels,
                    workers=settings.workers,
                    progress=advance,
                )
            read.append(stack.enter_context(one))
        sizes = np.concatenate([b[:, 2:] - b[:, :2] for b in read[0].boxes])
        if not len(sizes):  # the images that have them cannot be read
            raise UsageError(broken_rule("`data`", "have boxes to learn from", "none in training"))
        network = make_network(settings, classes, sizes)
        _say_anchors(network)
        stages, stepper = _train(
            settings, network, read[0], read[1], state_folder, _identity(settings, read)
        )
        return TrainedDetector(
            settings,
            boxes,
            network,
            tuple(read[0].images),
            tuple(read[1].images),
            tuple(stages),
            stepper.figures,
            tuple(stepper.truths),
            tuple(stepper.found),
            tuple(problems),
        )


def _held_out(data: str, images: str | None) -> BoxSet:
    """Return other images to validate on: they may lie in the folder of the images, or not."""
    held = read_boxes(data, images, "`validation_data`")
    if images is not None and not any(image.path for image in held.images):
        held = read_boxes(data, None, "`validation_data`")
    return held


def _problems(
    boxes: BoxSet, images: Sequence[AnnotatedImage], classes: Sequence[str]
) -> list[BoxProblem]:
    problems = list(boxes.problems)
    for image in images:
        if image.path is None:
            problems.append(BoxProblem("missing-picture", image.file, "no such file"))
        problems += mend(image, set(boxes.classes))[1]
    if not classes:
        raise UsageError(broken_rule("`data`", "have boxes of known classes", "none"))
    return problems


def _check_boxes(
    training: Sequence[AnnotatedImage],
    validation: Sequence[AnnotatedImage],
    classes: Sequence[str],
) -> None:
    """Refuse images without one box to learn from or to measure by, before any work.

    Raises:
        UsageError: Training or validation has no box of the classes that counts.
    """
    known = set(classes)
    for name, part in (("train", training), ("validate", validation)):
        if not any(_has_boxes(image, known) for image in part):
            rule = f"have a box to {name} by that is neither a crowd nor difficult"
            fix = "Annotate these images, or give others with `validation_data`."
            received = f"none in {len(part)} images"
            raise UsageError(broken_rule("`data`", rule, received, fix if name != "train" else ""))


def _has_boxes(image: AnnotatedImage, classes: Collection[str] | None = None) -> bool:
    """Return whether an image has a sound box that counts."""
    return any(map(is_counted, mend(image, classes)[0].boxes))


def _split(
    boxes: BoxSet, held: BoxSet | None, settings: DetectorSettings
) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Return the images to train and to validate on."""
    there = _usable(boxes)
    _check_splits(boxes, validates_elsewhere=held is not None)
    if held is not None:
        training = [p for p in there if p.split in (None, "train")]
        validation = _usable(held)
        _tell_of_shared(training, validation)
    elif {"train", "val"} <= set(boxes.splits):
        given = settings.validation != DetectorSettings.validation
        refuse_division("`validation`" if given else None, settings.data)
        training = [p for p in there if p.split == "train"]
        validation = [p for p in there if p.split == "val"]
    else:
        usable = [p for p in there if p.split in (None, "train")]
        training, validation = _drawn_split(usable, settings.validation, settings.seed)
    for name, part in (("train", training), ("validate", validation)):
        if len(part) < LEAST_TO_VALIDATE:
            rule = f"have at least {LEAST_TO_VALIDATE} images to {name} on"
            data, fix = "`data`", ""
            if name == "validate" and held is not None:
                data, fix = "`validation_data`", "They lie near its annotations, or in `images`."
            raise UsageError(broken_rule(data, rule, len(part), fix))
    return training, validation


def _tell_of_shared(
    training: Sequence[AnnotatedImage], validation: Sequence[AnnotatedImage]
) -> None:
    """Say which images are trained and validated on: two sets may number theirs alike."""
    trained = {os.path.realpath(str(image.path)) for image in training}
    shared = [p.path for p in validation if os.path.realpath(str(p.path)) in trained]
    if shared:
        log.warning(
            "%d of the %d images to validate on are trained on as well, such as %s: the metrics "
            "say nothing of new images.",
            len(shared),
            len(validation),
            shared[0],
        )


def _check_splits(boxes: BoxSet, *, validates_elsewhere: bool) -> None:
    """Refuse a set that names images to train or validate on which are not there.

    A drawn validation would take their place unnoticed. A missing ``test`` is not used.
    """
    unused = ("test", *(("val", "valid") if validates_elsewhere else ()))
    for problem in boxes.problems:
        if problem.code == "missing-split" and not problem.detail.startswith(unused):
            raise UsageError(broken_rule(problem.path, "lead to its images", problem.detail))


def _usable(boxes: BoxSet) -> list[AnnotatedImage]:
    """Return the images that are there and whose boxes can be placed."""
    return [p for p in boxes.images if p.path is not None and not p.refused]


def _drawn_split(
    images: Sequence[AnnotatedImage], share: float, seed: int
) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Draw what to validate on; files of one content stay on one side, boxes come to both."""
    groups: dict[str, list[AnnotatedImage]] = {}
    for image in images:
        try:
            content = hashlib.sha256(read_bytes(str(image.path))).hexdigest()
        except ImageError:
            content = str(image.path)
        groups.setdefault(content, []).append(image)
    members = list(groups.values())
    random.Random(seed).shuffle(members)
    wanted = max(1, round(share * len(images)))
    drawn: list[list[AnnotatedImage]] = []
    while members and sum(map(len, drawn)) < wanted:
        drawn.append(members.pop())
    for giver, taker in ((members, drawn), (drawn, members)):
        boxed = [n for n, group in enumerate(giver) if any(map(_has_boxes, group))]
        if len(boxed) > 1 and not any(map(_has_boxes, itertools.chain(*taker))):
            taker.append(giver.pop(boxed[-1]))
    return [p for group in members for p in group], [p for group in drawn for p in group]


def _say_anchors(network: DetectorNetwork) -> None:
    advice = network.advice
    if advice is None:
        return
    kmeans = "too few boxes" if advice.kmeans_fit is None else f"{advice.kmeans_fit:.3f}"
    log.info(
        "anchors: mean IoU %.3f with the default ones, %s with k-means; %s taken",
        advice.default_fit,
        kmeans,
        "those of k-means" if advice.chosen == "kmeans" else "the default ones",
    )


# --- the stages --------------------------------------------------------------------------


def plans_of(
    settings: DetectorSettings, network: DetectorNetwork, steps: int
) -> list[tuple[str, Any]]:
    """Return the stages to come, each with its plan.

    Args:
        settings: The settings.
        network: Whose head always learns.
        steps: Number of steps of an epoch.
    """
    common: dict[str, Any] = {
        "batch_size": settings.batch_size,
        "label_smoothing": 0.0,
        "weight_decay": 5e-4,
        "seed": settings.seed,
        "patience": settings.patience,
        "head_layers": network.new_layers,
        "start_counts": True,
    }
    kind, stages = settings.kind, []
    if settings.frozen and network.new_layers:
        rate = settings.learning_rate or kind.frozen_rate
        plan = TrainingPlan(
            settings.frozen,
            learning_rate=rate,
            stages=0,
            average=_average(settings, settings.frozen * steps),
            **common,
        )
        stages.append(("frozen", plan))
    if settings.whole:
        fresh = network.origin is None
        plan = TrainingPlan(
            settings.whole,
            learning_rate=settings.learning_rate or kind.rate,
            backbone_rate=1.0 if fresh else kind.backbone_rate,
            stages=None if fresh else _stages_to_train(settings, network),
            train_bn=fresh,
            average=_average(settings, settings.whole * steps),
            **common,
        )
        stages.append(("whole", plan))
    return stages


def _stages_to_train(settings: DetectorSettings, network: DetectorNetwork) -> int | None:
    """Return how many of the last stages learn; None: all, and what is before them."""
    fixed = settings.kind.fixed_stages
    return len(stage_names(network.model, network.new_layers)) - fixed if fixed else None


def _average(settings: DetectorSettings, steps: int) -> float:
    """Return how much a moving average keeps at each step: the longer the run, the more."""
    if not settings.average:
        return 0.0
    return min(0.9998, max(0.5, 1 - 1 / max(1.0, AVERAGE_OVER * steps)))


def _train(
    settings: DetectorSettings,
    network: DetectorNetwork,
    training: BoxImages,
    validation: BoxImages,
    state_folder: Path,
    identity: str,
) -> tuple[list[DetectorStage], Any]:
    """Train the stages one after the other; give them and the last stepper."""
    from cnnkit.detection.training.stepper import DetectorStepper

    augmenter = Augmenter(read_recipe(settings.augment), settings.seed)
    made: list[DetectorStepper] = []

    def make(*arguments: Any, **named: Any) -> DetectorStepper:
        """Return a stepper of this run; the last one holds the figures of the end."""
        classes = len(training.labels)
        stepper = DetectorStepper(
            *arguments,
            task=network.task,
            classes=classes,
            best_by=settings.kind.best_by,
            **named,
        )
        made.append(stepper)
        return stepper

    def to_train(epochs: int, size: int) -> BoxLoader:
        """Return a loader of the training images for so many epochs and a batch size."""
        return BoxLoader(
            training,
            shared_evenly(size, len(training), current_group().devices),
            training=True,
            augmenter=augmenter,
            mosaic_until=math.ceil(epochs * MOSAICS_UNTIL),
            mosaic_share=settings.mosaic,
            sizes=settings.sizes,
            seed=settings.seed,
            workers=settings.workers,
        )

    def to_validate(size: int) -> BoxLoader:
        return BoxLoader(validation, size, training=False, workers=settings.workers)

    steps = max(1, len(training) // settings.batch_size)
    stages: list[DetectorStage] = []
    for name, plan in plans_of(settings, network, steps):
        if name == "whole" and stages:
            plan = replace(plan, head_layers=network.new_layers)
        log.info("%s", STAGE_NAMES[name])
        result = train(
            network.model,
            partial(to_train, plan.epochs),
            to_validate,
            plan,
            state_folder=state_folder / name,
            resume=settings.resume,
            identity=identity,
            on_epoch=lambda report: say_epoch(report, settings.kind.best_by),
            on_message=None,
            make_stepper=make,
        )
        stages.append(DetectorStage(name, plan, result))
    last = made[-1]
    with contextlib.closing(to_validate(settings.batch_size)) as batches:
        last.measure(batches, averaged=False)
    return stages, last


STAGE_NAMES = {"frozen": "training the new layers", "whole": "training the whole network"}


def say_epoch(report: EpochReport, best_by: str) -> None:
    """Say one line about an epoch; see `epoch_figures`."""
    half, whole = epoch_figures(report, best_by)
    held_out = f"AP50 {half:.4f}, AP {whole:.4f}"
    best = ", the best so far" if report.best else ""
    if report.epoch == 0:
        log.info("start: %s", held_out)
        return
    minutes, seconds = divmod(round(report.seconds_left), 60)
    log.info(
        "epoch %d of %d: loss %.3f; %s%s; %.1f s, at most %d:%02d left",
        report.epoch,
        report.epochs,
        report.loss,
        held_out,
        best,
        report.seconds,
        minutes,
        seconds,
    )


def _identity(settings: DetectorSettings, sets: Sequence[BoxImages]) -> str:
    """Return a hash of all that shapes the run beside its plans.

    Args:
        settings: The settings.
        sets: The decoded images to train and to validate on.
    """
    read = [_content(one) for one in sets]
    names = ("architecture", "from_scratch", "side", "anchors", "box_loss", "mosaic", "sizes")
    chosen = {name: getattr(settings, name) for name in names}
    recipe = read_recipe(settings.augment).to_dict(settings.side, settings.side)
    return identity_of([read, chosen, recipe])


def _content(images: BoxImages) -> list[Any]:
    """Return names, boxes and a hash of the pixels of some images, as JSON has them."""
    digest = hashlib.sha256()
    for pixels in images.decoded.pixels:  # one by one: they may be in a file
        digest.update(np.ascontiguousarray(pixels).data)
    boxes = [
        [image.file, classes.tolist(), corners.tolist()]
        for image, classes, corners in zip(images.images, images.classes, images.boxes, strict=True)
    ]
    return [list(images.labels), boxes, digest.hexdigest()]
