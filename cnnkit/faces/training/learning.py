"""`cnnkit train-face` as a function: people's photos in, an embedder's bundle out."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from cnnkit import architectures
from cnnkit.bundles import open_model
from cnnkit.errors import CnnkitError, broken_rule
from cnnkit.faces.pairs import (
    fit_probability,
    pair_distances,
    pair_log_loss,
    part_compared,
    summary,
)
from cnnkit.faces.thresholds import LARGEST_THRESHOLD
from cnnkit.faces.training.bundle import write_trained
from cnnkit.faces.training.head import PairHead, differences, find_head
from cnnkit.faces.training.outcome import TrainedEmbedder
from cnnkit.faces.training.people import CutFaces, TrainingPeople, read_people
from cnnkit.faces.training.settings import EMBEDDED, SCRATCH, EmbedderSettings
from cnnkit.faces.training.training import EmbedderTraining, describe, train_embedder
from cnnkit.runtime import building_defaults, import_keras
from cnnkit.runtime.training_devices import seed_epoch
from cnnkit.training.run import StageProgress, TrainingRun, silent

log = logging.getLogger(__name__)

UNLIKE_FIX = "Check who is on the photos, add people, or train for more `epochs`."
BUILDERS = {SCRATCH: "embedding-small", EMBEDDED: "face-resnet-v1"}


def learn_faces(settings: EmbedderSettings, stage: StageProgress = silent) -> TrainedEmbedder:
    """Learn a similarity of faces and write its complete bundle.

    Args:
        settings: The settings.
        stage: Callback that reports progress.

    Raises:
        UsageError: The data or an option cannot be worked with.
        OutputError: The bundle cannot be written there.
        CnnkitError: Training collapsed, its loss was never finite, or nothing was learned.
    """
    started = time.monotonic()
    run = TrainingRun(
        settings.output,
        resume=settings.resume,
        overwrite=settings.overwrite,
        keeps_state=settings.trains,
    )
    with run.claimed():
        trained = _trained(run, settings, stage, started)
        if run.leads:
            write_trained(run, trained)
    return trained


def _trained(
    run: TrainingRun, settings: EmbedderSettings, stage: StageProgress, started: float
) -> TrainedEmbedder:
    people = read_people(settings, stage, _face_cutter(settings))
    model, arguments = start_network(settings)
    learned = None
    if settings.trains:
        learned = train_embedder(settings, model, people, run.state_folder)
    return _judged(settings, people, model, arguments, learned, started)


def _face_cutter(settings: EmbedderSettings) -> CutFaces | None:
    """Return what finds and aligns faces, or None if whole images are taken."""
    if settings.crop == "none":
        return None
    from cnnkit.faces.training.cutting import cut_largest_faces

    return lambda paths, advance: cut_largest_faces(paths, settings, advance)


def start_network(settings: EmbedderSettings) -> tuple[Any, dict[str, Any]]:
    """Return the network where learning begins, and the arguments of its builder."""
    if settings.network == EMBEDDED:
        with building_defaults():
            return open_model(EMBEDDED).load("network"), {}
    import_keras()
    arguments: dict[str, Any] = {
        "input_shape": (settings.side, settings.side, 3),
        "dimensions": settings.dimensions,
        "normalized": settings.loss != "logistic",
    }
    seed_epoch(settings.seed, 0)
    with building_defaults():
        return architectures.builder(BUILDERS[SCRATCH])(**arguments), arguments


def _judged(
    settings: EmbedderSettings,
    people: TrainingPeople,
    model: Any,
    arguments: dict[str, Any],
    learned: EmbedderTraining | None,
    started: float,
) -> TrainedEmbedder:
    """Find the head and the threshold on validation, and measure every split."""
    vectors = describe(model, people.images.pixels)
    members = {
        name: np.flatnonzero(people.splits == number)
        for number, name in enumerate(("train", "val", "test"))
    }
    labels = people.images.labels
    held_out = pair_distances(vectors[members["val"]], labels[members["val"]])
    midpoint, steepness = fit_probability(held_out)
    baseline = pair_log_loss(held_out, midpoint, steepness)
    head, kept, metric = None, "", "euclidean"
    builder: str | None = BUILDERS[settings.network]
    if settings.loss in ("head", "logistic"):
        parts = [
            differences(vectors[m], labels[m], settings.seed)
            for m in (members["train"], members["val"])
        ]
        head = find_head(*parts)
        if settings.loss == "head" and not (head.tells and head.loss < baseline):
            kept = _plain_kept(head, baseline)
            head = None
    if head is not None:
        model, metric, builder = _scaled(model, head.weights), "manhattan", None
        vectors = vectors * head.weights.astype(np.float32)
        midpoint, steepness = head.bias, 1.0
    if not 0 < midpoint <= LARGEST_THRESHOLD or (head is not None and not head.tells):
        received = "photos of one person as far apart as those of two"
        raise CnnkitError(broken_rule("the embeddings", "tell people apart", received, UNLIKE_FIX))
    figures = {}
    for name in ("val", "test"):
        if told := part_compared(len(members[name]), f" of the split {name}"):
            log.warning(told)
        pairs = pair_distances(vectors[members[name]], labels[members[name]], metric)
        if len(pairs.same) and len(pairs.different):
            figures[name] = summary(pairs, midpoint)
    return TrainedEmbedder(
        settings,
        people,
        model,
        builder,
        arguments,
        metric,
        midpoint,
        steepness,
        head,
        baseline,
        kept,
        learned,
        figures,
        time.monotonic() - started,
    )


def _plain_kept(head: PairHead, baseline: float) -> str:
    """Return why the plain distance is kept, in words."""
    if not head.tells:
        return "The plain distance is kept: the head found nothing by which to tell people apart."
    return (
        f"The plain distance is kept: its validation loss, {baseline:.4f}, is not higher "
        f"than that of the head, {head.loss:.4f}. More people would help."
    )


def _scaled(model: Any, weights: np.ndarray) -> Any:
    """Return a network whose descriptions are multiplied by the head's weights."""
    with building_defaults() as keras:
        scale = keras.layers.Rescaling([float(w) for w in weights], dtype="float32", name="scaled")
        return keras.Model(model.inputs, scale(model.outputs[0]), name=f"{model.name}_scaled")
