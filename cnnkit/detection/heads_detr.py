"""Decodes imported transformers that give a set of objects: DETR, RT-DETR, D-FINE, RF-DETR."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.bundles.detector_card import DetectorSpec
from cnnkit.detection.candidates import Candidates, logit, sigmoid, strongest
from cnnkit.detection.heads import corners, output_of, shape_text, sound, wanted
from cnnkit.errors import BundleError, broken_rule

SCORES = ("sigmoid", "sigmoid-background", "softmax", "probabilities")


class DetrDecoder:
    """Queries with a box of center x, center y, width and height from 0 to 1, and class scores.

    The section names the outputs ``boxes`` (n, 4) and ``logits`` (n, classes), or one ``output``
    (n, 4 + classes) with both. ``scores`` says what the latter are:

    - ``sigmoid``: logits, each class for itself; of all pairs of query and class the n best count
      (Zhu et al., "Deformable DETR", https://arxiv.org/abs/2010.04159).
    - ``sigmoid-background``: the same, with one more logit for the background, the last, which is
      dropped before the best pairs are taken, as RF-DETR does.
    - ``softmax``: logits with one more for "no object", the last; a query has its best class
      (Carion et al., "End-to-End Object Detection", https://arxiv.org/abs/2005.12872).
    - ``probabilities``: a query has its best class.

    Each object is one query's: nothing is suppressed. See `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = True

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._scores = fields.choice("scores", SCORES, default="sigmoid")
        self._joined = fields.text("output", optional=True)
        self._boxes = self._joined or fields.text("boxes")
        self._logits = self._joined or fields.text("logits")
        self._columns = card.classes + (self._scores in ("sigmoid-background", "softmax"))
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        boxes, logits = self._queries(outputs)
        if self._scores == "sigmoid-background":
            logits = logits[:, :-1]
        if self._scores.startswith("sigmoid"):
            floor = np.array([logit(score) for score in np.minimum(least, 1)])
            rows, classes = wanted(logits, np.where(np.isinf(least), least, floor))
            scores = logits[rows, classes].astype(np.float64)
            scores = np.where(np.isfinite(scores), sigmoid(scores), np.nan)
        else:
            values = _softmax(logits)[:, :-1] if self._scores == "softmax" else logits
            rows, classes, scores = _best(values, least)
        found = sound(corners(boxes[rows]) * self._size, scores, classes, self._logits)
        return strongest(found, len(boxes))

    def _queries(self, outputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes (n, 4) and the class scores or logits (n, columns)."""
        if self._joined:
            joined = output_of(outputs, self._joined, 2)
            boxes, logits = joined[:, :4], joined[:, 4:]
        else:
            boxes = output_of(outputs, self._boxes, 2)
            logits = output_of(outputs, self._logits, 2)
        if logits.shape[1] != self._columns:
            rule = f"have {self._columns} class scores, by its classes"
            raise BundleError(broken_rule(self._logits, rule, logits.shape[1]))
        if boxes.shape != (len(logits), 4):
            rule = f"be {len(logits)} x 4, a box for each query"
            raise BundleError(broken_rule(self._boxes, rule, shape_text(boxes.shape)))
        return boxes, logits


def _best(scores: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the wanted rows (found,) with the best class of each, and its score."""
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    rows = np.flatnonzero(best >= least[classes])
    return rows, classes[rows], best[rows]


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite gives no box
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
