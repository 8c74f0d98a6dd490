"""Decodes imported networks that give finished detections, or scored boxes, in several outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.bundles.detector_card import BOX_UNITS, DetectorSpec
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.heads import class_numbers, largest, output_of, shape_text, sound, wanted
from cnnkit.errors import BundleError, broken_rule

ORDERS = ("xyxy", "yxyx")


class DetectionsDecoder:
    """Boxes (n, 4), scores (n,) and class numbers (n,), after the network's own suppression.

    The section names the outputs ``boxes``, ``scores``, ``labels`` and perhaps ``count``: how many
    of the n are used; others have a score of 0. ``order`` says whether boxes are left, top, right,
    bottom (``xyxy``) or top, left, bottom, right (``yxyx``), ``first_class`` the number of the
    first class. See `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = True

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._boxes, self._scores = fields.text("boxes"), fields.text("scores")
        self._labels = fields.text("labels")
        self._count = fields.text("count", optional=True)
        self._order = fields.choice("order", ORDERS, default="xyxy")
        self._unit = fields.choice("unit", BOX_UNITS, default="auto")
        self._first = int(fields.number("first_class", 0, 1, default=0))
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        boxes = output_of(outputs, self._boxes, 2)
        scores, labels = (output_of(outputs, n, 1) for n in (self._scores, self._labels))
        if not (len(boxes) == len(scores) == len(labels) and boxes.shape[1] == 4):
            rule = f"be {len(scores)} x 4, a box for each score and label"
            raise BundleError(broken_rule(self._boxes, rule, shape_text(boxes.shape)))
        used = np.isfinite(boxes).all(axis=1) & np.isfinite(scores) & np.isfinite(labels)
        used &= scores > 0
        used[self._used(outputs, len(used)) :] = False
        boxes, scores, labels = boxes[used], scores[used], labels[used]
        # Checked first: classes taken for scores are the likelier mistake.
        sound(boxes, scores, labels, self._scores)
        classes = class_numbers(labels, len(least), self._labels, self._first)
        some = scores >= least[classes]
        corners = _pixels(boxes[some], self._order, self._unit, self._size)
        return sound(corners, scores[some], classes[some], self._scores)

    def _used(self, outputs: Mapping[str, np.ndarray], most: int) -> int:
        """Return how many of the rows are used."""
        if self._count is None:
            return most
        count = float(output_of(outputs, self._count, 0))
        return min(most, max(0, int(count))) if np.isfinite(count) else 0


class BoxesScoresDecoder:
    """Boxes (n, 4) of left, top, right, bottom and class probabilities (n, classes) of all cells.

    YOLO-NAS and others. The section names the outputs ``boxes`` and ``scores``. See
    `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._boxes, self._scores = fields.text("boxes"), fields.text("scores")
        self._unit = fields.choice("unit", BOX_UNITS, default="auto")
        self._classes = card.classes
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        boxes, scores = (output_of(outputs, n, 2) for n in (self._boxes, self._scores))
        if scores.shape[1] != self._classes:
            rule = f"have {self._classes} class scores, by its classes"
            raise BundleError(broken_rule(self._scores, rule, scores.shape[1]))
        if boxes.shape != (len(scores), 4):
            rule = f"be {len(scores)} x 4, a box for each row of scores"
            raise BundleError(broken_rule(self._boxes, rule, shape_text(boxes.shape)))
        rows, classes = wanted(scores, least)
        unit = self._unit
        if unit == "auto":  # cells lie all over the input
            unit = "normalized" if largest(boxes[:, 2:]) <= 2 else "pixels"
        found = _pixels(boxes[rows], "xyxy", unit, self._size)
        return sound(found, scores[rows, classes], classes, self._scores)


def _pixels(boxes: np.ndarray, order: str, unit: str, size: np.ndarray) -> np.ndarray:
    """Return left, top, right, bottom in pixels of the input, float64 (n, 4).

    Args:
        boxes: Finite or not (n, 4).
        order: One of `ORDERS`.
        unit: One of `BOX_UNITS`; ``auto``: no object ends within two pixels of the corner.
        size: The input's width, height, width, height.
    """
    boxes = boxes.astype(np.float64)
    boxes = boxes[:, [1, 0, 3, 2]] if order == "yxyx" else boxes
    if unit == "auto":
        unit = "normalized" if largest(boxes[:, 2:]) <= 2 else "pixels"
    return boxes * size if unit == "normalized" else boxes
