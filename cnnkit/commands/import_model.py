"""`models import`: makes a bundle of a network in another tool's format."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.graphs.families import Preprocessing
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.importing import Import
from cnnkit.bundles.writing import check_target, writing_bundle
from cnnkit.classification.classifier import Classifier, Decision
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import text_of
from cnnkit.detection.detector import Detector
from cnnkit.errors import BundleError, UsageError, broken_rule
from cnnkit.images import Finder
from cnnkit.results import Classification, Detections, Failure
from cnnkit.runtime import RuntimeOptions, predictor

log = logging.getLogger("cnnkit")
SHOWN_IMAGES = 5
# How far probabilities may be from adding up to 1, in half precision.
SUM_ERROR = 5e-3


@dataclass(frozen=True)
class ImportedModel:
    """A bundle that was made of a graph.

    Attributes:
        path: Its folder.
        task: ``classify`` or ``detect``.
        card: Its card.
        said_by: Who said what the file says of itself, such as ``ultralytics``; "" for nobody.
        examples: The results of some images, by path.
    """

    path: Path
    task: str
    card: dict[str, Any] = field(repr=False)
    said_by: str = ""
    examples: tuple[tuple[str, Classification | Detections | Failure], ...] = ()


@keeps_inputs
def import_model(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    task: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    like: str | None = None,
    size: tuple[int, int] | None = None,
    layout: str | None = None,
    colors: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    fit: str | None = None,
    crop_fraction: float | None = None,
    interpolation: str | None = None,
    scores: str | None = None,
    features: str | None = None,
    name: str | None = None,
    check_on: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> ImportedModel:
    """Make a bundle of an ONNX or TFLite file, an OpenVINO ``.xml``, or a SavedModel folder.

    What the file, or a description beside it, says of itself is used: Ultralytics' metadata,
    TFLite's, the settings that timm and Transformers keep beside a model, and the descriptions of
    `cnnkit export`. What it does not say must be given.

    Args:
        model: The file or folder.
        output: Folder of the new bundle.
        task: ``classify`` or ``detect``; by default as the outputs look.
        labels: A file with one label per line, in the order of the scores.
        like: A family of networks whose preprocessing it shares, such as ``imagenet``; or a
            detector's head, such as ``yolov8``, where its outputs fit several.
        size: Height and width of the images, for a graph that takes any.
        layout: ``NHWC`` or ``NCHW``, where the shape of the input does not say it.
        colors: ``RGB``, ``BGR``, or ``gray``.
        mean: Subtracted from pixels of 0 to 255, in the order of `colors`; one number for all
            channels, or one each.
        std: Divides what is left.
        fit: ``crop``, ``pad``, or ``stretch``.
        crop_fraction: Share of the resized short side that ``crop`` keeps.
        interpolation: ``bilinear``, ``bicubic``, ``lanczos``, ``area``, or ``plain-bilinear``.
        scores: What a classifier's outputs are: ``logits``, ``probabilities``,
            ``independent-logits``, or, for one number, ``logit`` or ``probability``.
        features: Name of the tensor of a classifier's features; found by itself by default.
        name: Name of the model; that of the file by default.
        check_on: A folder of images, the first of which are predicted to be looked at.
        overwrite: Overwrite an existing bundle.

    Returns:
        Where the bundle is, what its card says, and the predictions of the first images.

    Raises:
        UsageError: An argument is invalid, or something is not known of the model.
        BundleError: The model cannot be opened, or is unsafe to open.
        OutputError: The bundle cannot be written.
    """
    target = Path(os.fspath(output))
    wish = GraphWish(
        task=task,
        like=like,
        size=size,
        layout=layout,
        preprocessing=Preprocessing(
            colors, _numbers("mean", mean), _numbers("std", std), fit, crop_fraction, interpolation
        ),
        scores=scores,
        features=features,
        labels=text_of(labels),
        name=name,
    )
    check_target(target, overwrite)
    shown = _first_images(os.fspath(check_on)) if check_on else []
    found = Import(Path(os.fspath(model)), wish)
    for note in found.planned.notes:
        log.info(note)
    with writing_bundle(target, overwrite) as folder:
        found.write(folder)
        _try(open_model(folder), bool(features), scores is not None)
    bundle = open_model(target)
    examples = tuple(_examples(bundle, shown)) if shown else ()
    card = bundle.card
    return ImportedModel(target, card.task, dict(card.content), found.said.source, examples)


def _numbers(name: str, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Check the numbers of the channels."""
    if values is None:
        return None
    if len(values) not in (1, 3) or not np.all(np.isfinite(values)):
        rule = "be one finite number, or three"
        raise UsageError(broken_rule(f"`{name}`", rule, ", ".join(map(str, values))))
    if name == "std" and min(values) <= 0:
        raise UsageError(broken_rule("`std`", "be above 0", ", ".join(map(str, values))))
    return tuple(float(value) for value in values)


def _try(bundle: Bundle, features: bool, scores_are_given: bool) -> None:
    """Run a bundle once, on noise, so that what cannot run is never left as a bundle.

    As a batch of two, if it takes that: one that mixes the images of a batch is told. In float32,
    for that is tried in it: it is compiled once.

    Raises:
        BundleError: Its scores are not what the card says.
        UsageError: Nobody said what its scores are, and they look like another kind.
    """
    spec = bundle.card.input
    noise = np.random.default_rng(0).integers(0, 256, (2, *spec.size, 3), dtype=np.uint8)
    options = RuntimeOptions(precision="float32")
    compiled = predictor(bundle.source(features), options, batch_size=2, expected=2)
    outputs = compiled.predict(noise)
    if bundle.card.task != "classify":
        return
    scores = outputs["scores"]
    # Minus infinity is a sound logit, of a class that is ruled out or a logarithm of nothing.
    if not np.all(np.isfinite([bundle.probabilities(row) for row in scores])):
        rule = "give finite scores for an image of noise"
        raise BundleError(broken_rule(bundle.card.name, rule, "NaN or infinity"))
    if np.array_equal(scores[0], scores[1]):
        said = "gives the same scores for different images of noise: check how pixels enter it"
        log.warning("%s %s.", bundle.card.name, said)
    add_up = np.all(scores >= 0) and np.all(np.abs(scores.sum(axis=1) - 1) < SUM_ERROR)
    if bundle.card.scores_kind == "logits" and add_up and not scores_are_given:
        rule = "be given where the last operations look like logits, but the scores add up to 1"
        fix = "Use probabilities, if a softmax is inside, or logits."
        raise UsageError(broken_rule("`scores`", rule, "none", fix))


def _first_images(images: str) -> list[str]:
    """Return the paths of the first images, so that none are missed only after all the work."""
    found = list(islice(Finder([images]), SHOWN_IMAGES))
    wrong = [one.failure.message for one in found if one.failure is not None]
    if len(wrong) == len(found):
        rule = "name a folder with images"
        received = f"{images}, {wrong[0]}" if wrong else f"{images}, which has none"
        raise UsageError(broken_rule("`check_on`", rule, received))
    return [one.path for one in found]


def _examples(
    bundle: Bundle, paths: Sequence[str]
) -> Iterator[tuple[str, Classification | Detections | Failure]]:
    """Yield the results of images."""
    model: Classifier | Detector
    if bundle.card.task == "classify":
        model = Classifier.from_bundle(bundle, Decision(top_k=3))
    else:
        model = Detector.from_bundle(bundle)
    yield from model.stream(paths)
