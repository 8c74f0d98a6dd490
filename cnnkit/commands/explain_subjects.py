"""What `cnnkit.explain` asks of detectors and of faces: scores of one image, as functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit import boxes
from cnnkit.bundles import Bundle
from cnnkit.detection import Detector
from cnnkit.detection.selection import Selection, class_index
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.explanation.heat import Region, clipped
from cnnkit.explanation.scored import Engine, Question, ScoredExplainer, nothing_to_ask
from cnnkit.faces import FaceEmbedder, distances
from cnnkit.faces.embedding import faces_for
from cnnkit.results import Failure
from cnnkit.runtime import RuntimeOptions

# Boxes of hidden images count however unsure they are.
LOWEST_CONFIDENCE = 0.005
# A face's part of the image: its box and so much of its sides around it.
FACE_MARGIN = 0.25
SAME, DIFFERENT = "same person", "different people"


def explainer_of_detector(
    bundle: Bundle, class_name: str | None, runtime: RuntimeOptions, fit: str | None, **more: Any
) -> ScoredExplainer:
    """Return what explains a detector's surest object, or its surest of one class.

    The score of a hidden image is that of the box of the same class that it shares most with:
    its score times the overlap (Petsiuk et al., "Black-box Explanation of Object Detectors via
    Saliency Maps", https://arxiv.org/abs/2006.03204).
    """
    max_pixels = more["max_pixels"]
    if class_name is not None:
        class_index(class_name, bundle.labels, "`class_name`")
    wanted = () if class_name is None else (class_name,)
    shared = {"fit": fit, "options": runtime, "max_pixels": max_pixels}
    surest = Detector.from_bundle(bundle, Selection(classes=wanted), batch_size=1, **shared)
    every = Selection(confidence=LOWEST_CONFIDENCE)
    unsure = Detector.from_bundle(bundle, every, batch_size=1, **shared)

    def ask(pixels: Any) -> Question:
        """Ask about the surest object of the image."""
        found = surest.predict(pixels)
        if isinstance(found, Failure):
            raise nothing_to_ask(found.message)
        if not len(found):
            raise nothing_to_ask(f"no {class_name or 'object'} was detected")
        box, index = found.xyxy[:1], int(found.class_id[0])
        of_class = unsure.of_class(index)

        def score_of(batch: Any) -> Any:
            return [_likeness(one, box) for one in of_class.predict(list(batch))]

        label, score = found.labels[0], float(found.scores[0])
        whole = Region(0, 0, found.width, found.height)
        return Question(label, index, label, score, tuple(box[0]), whole, pixels, score_of)

    engine = Engine(surest.predictor.runtime, surest.predictor.precision)
    return ScoredExplainer(bundle, ask, surest.spec, engine, **more)


def _likeness(found: Any, box: Any) -> float:
    """Return the highest product of score and overlap with a box among the found of its class."""
    overlaps = boxes.iou(found.xyxy, box) * found.scores
    return float(overlaps.max(initial=0.0))


def explainer_of_faces(
    bundle: Bundle, reference: str | None, runtime: RuntimeOptions, **more: Any
) -> ScoredExplainer:
    """Return what explains why an image's largest face is like that of a reference image.

    The score of a hidden face is its distance from the reference, less is more alike.
    """
    if reference is None:
        fix = "Heat shows where hiding a part makes a face less similar to that of `reference`."
        raise UsageError(broken_rule("`reference`", "name the image to compare with", "none", fix))
    found = faces_for(bundle, runtime)
    embedder = FaceEmbedder(found, bundle, options=runtime, max_pixels=more["max_pixels"])
    verification = embedder.verification
    try:
        image = embedder.read(reference)
        known = embedder.embed(image, _largest(embedder, image))
    except ImageError as error:
        rule, received = "name an image with a face", f"{reference}: {error.message}"
        raise UsageError(broken_rule("`reference`", rule, received)) from error

    def ask(pixels: Any) -> Question:
        """Ask how alike the largest face is to the reference's."""
        (face,) = _largest(embedder, pixels)
        part = _around(face, *pixels.shape[:2])
        left, top, right, bottom = part
        moved = type(face)(
            (face.xyxy[0] - left, face.xyxy[1] - top, face.xyxy[2] - left, face.xyxy[3] - top),
            face.score,
            tuple((x - left, y - top) for x, y in face.landmarks),
        )

        def score_of(batch: Any) -> Any:
            embedded = np.stack([embedder.embed(one, [moved])[0] for one in batch])
            return [-float(d) for d in distances(embedded, known, verification.metric)[:, 0]]

        cut = pixels[top:bottom, left:right]
        apart = -score_of(cut[None])[0]
        said = SAME if verification.same(apart) else DIFFERENT
        probability = verification.probability(apart)
        whole = Region(*part)
        return Question(SAME, 0, said, probability, face.xyxy, whole, cut, score_of)

    engine = Engine(embedder.predictor.runtime, embedder.predictor.precision)
    return ScoredExplainer(bundle, ask, bundle.card.input, engine, **more)


def _largest(embedder: FaceEmbedder, pixels: Any) -> list[Any]:
    faces = embedder.find(pixels)
    if not faces:
        raise nothing_to_ask("no face was found")
    return [faces[0]]


def _around(face: Any, height: int, width: int) -> tuple[int, int, int, int]:
    """Return a face's part of an image in whole pixels."""
    margin_x, margin_y = FACE_MARGIN * face.width, FACE_MARGIN * face.height
    left, top, right, bottom = face.xyxy
    wide = Region(left - margin_x, top - margin_y, right + margin_x, bottom + margin_y)
    return clipped(wide, height, width)
