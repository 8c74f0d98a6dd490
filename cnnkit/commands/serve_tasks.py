"""The tasks of ``cnnkit serve``: what answers a request, and with which options of a command.

A model is compiled once. The options of a request are applied to it in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnnkit.bundles import Bundle
from cnnkit.classification.classifier import Classifier, Decision
from cnnkit.commands.classify import classify
from cnnkit.commands.detect import detect
from cnnkit.detection import Detector
from cnnkit.detection.detector import DETECTING_FITS
from cnnkit.detection.selection import Selection
from cnnkit.detection.written import confidence_of, groups_of, parts
from cnnkit.errors import UsageError, broken_rule
from cnnkit.results import make_row
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.batching import batched
from cnnkit.serving.tasks import Answer, Images, ServedModel, ServedTask, Values, options_of

# Predictions of one answer: a row of all 1,000 classes is of no use, and 100 times as large.
MOST_PREDICTIONS = 100
IMAGE = "image"


def classifying(bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> ServedModel:
    """Return a classifier that answers requests."""
    loaded = Classifier.from_bundle(bundle, Decision(), options=options, max_pixels=max_pixels)
    compiled = batched(loaded.predictor)

    def answer(images: Images, values: Values) -> Answer:
        """Classify an image."""
        top_k = values.get("top_k", 5)
        if top_k > MOST_PREDICTIONS:
            raise UsageError(broken_rule("`top_k`", f"be at most {MOST_PREDICTIONS}", top_k))
        decision = Decision(top_k, values.get("threshold"))
        fit = values.get("fit")
        spec = loaded.spec if fit is None else bundle.card.input.with_fit(fit)
        classifier = Classifier(bundle, compiled, spec, decision, max_pixels, 1)
        return Answer(make_row(IMAGE, classifier.predict(images[IMAGE])))

    return served(bundle, loaded.predictor, answer)


def detecting(bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> ServedModel:
    """Return a detector that answers requests."""
    loaded = Detector.from_bundle(bundle, Selection(), options=options, max_pixels=max_pixels)
    compiled = batched(loaded.predictor)

    def answer(images: Images, values: Values) -> Answer:
        """Detect the objects in an image."""
        selection = Selection.of(
            values.get("confidence"),
            values.get("iou"),
            values.get("classes", ()),
            values.get("agnostic"),
        )
        fit, spec = values.get("fit"), loaded.spec
        if fit is not None:
            spec = bundle.card.input.with_fit(fit, DETECTING_FITS, "A crop would lose objects.")
        detector = Detector(bundle, compiled, spec, selection, None, max_pixels, 1)
        return Answer(make_row(IMAGE, detector.predict(images[IMAGE])))

    return served(bundle, loaded.predictor, answer)


def served(bundle: Bundle, engine: Any, answer: Callable[[Images, Values], Answer]) -> ServedModel:
    """Return a model with what answers for it.

    Args:
        bundle: The model.
        engine: What runs it, with its ``runtime`` and ``precision``.
        answer: See `ServedModel`.
    """
    card = bundle.card
    said = {"runtime": engine.runtime, "precision": engine.precision}
    said["device"] = getattr(engine, "device", "cpu" if engine.runtime == "openvino" else "auto")
    return ServedModel(card.name, card.content, said, answer)


def classify_task(models: Sequence[ServedModel]) -> ServedTask:
    """Return the task of classifiers."""
    options = options_of(classify, ("top_k", "threshold", "fit"))
    return ServedTask("classify", "Classify an image.", models, options)


def detect_task(models: Sequence[ServedModel]) -> ServedTask:
    """Return the task of detectors."""
    parsers: dict[str, Callable[[str], Any]] = {
        "confidence": lambda text: confidence_of([text]),
        # An empty list would mean all of them.
        "classes": lambda text: parts([text]) or [text],
        "agnostic": groups_of,
    }
    told = {
        "confidence": "Minimum score from 0 to 1, for all classes or by class: 0.3,dog=0.5.",
        "classes": "Names of the classes to keep, such as person,dog; all by default.",
        "agnostic": "Groups of classes within which boxes suppress each other, such as car+truck; "
        "given without a value, all classes are one group.",
    }
    names = ("confidence", "iou", "classes", "agnostic", "fit")
    options = options_of(detect, names, parsers, told)
    return ServedTask("detect", "Detect the objects in an image.", models, options)
