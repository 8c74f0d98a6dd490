"""Decodes the raw heads of NanoDet in numpy; cnnkit/architectures/nanodet.py has the layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.bundles.detector_card import (
    NANODET_BINS,
    DetectorSpec,
    HeadSpec,
    grid_heads,
    strides_of,
)
from cnnkit.detection.candidates import Candidates, logit, one_by_one, sigmoid
from cnnkit.detection.heads import grid_cells, output_of, shape_text, sound
from cnnkit.errors import BundleError, broken_rule

MAX_BINS = 64


class NanodetDecoder:
    """See `cnnkit.detection.decoders.Decoder`.

    The section has one of these:

    - ``heads``, each an output (rows, columns, classes + 4 * 11) of logits;
    - ``output``, all cells in one (n, classes + 4 * bins), level by level, as the project's own
      exports are: with ``strides``, ``bins``, where in its cell a box begins (``offset``, 0.5 for
      NanoDet and 0 for NanoDet-Plus), and whether the class scores are ``logits`` or
      ``probabilities``; ``auto``: as their values say. As in the project, boxes end at the
      border of the input before they suppress each other.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        self._classes = card.classes
        fields = Fields(spec.settings, "detector")
        self._joined = fields.text("output", optional=True)
        if self._joined is None:
            self._heads = grid_heads(spec.settings)
            return
        self._bins = fields.integer("bins", 2, MAX_BINS)
        self._scores = fields.choice("scores", ("auto", "logits", "probabilities"), default="auto")
        cells, self._strides = grid_cells(card.input.size, strides_of(fields))
        self._corner = np.array([card.input.width, card.input.height] * 2, np.float64)
        self._middles = cells + fields.number("offset", 0.0, 1.0, default=0.5)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        if self._joined is not None:
            return self._decode_joined(output_of(outputs, self._joined, 2), least)
        own = {head.output: outputs[head.output][None] for head in self._heads}
        return self._decode_heads(own, least)[0]

    def decode_several(
        self, outputs: Mapping[str, np.ndarray], least: np.ndarray
    ) -> list[Candidates]:
        """Return the candidates of each image; see `cnnkit.detection.decoders.decoded`."""
        if self._joined is None:
            return self._decode_heads(outputs, least)
        return one_by_one(self, outputs, least)

    def _decode_heads(
        self, outputs: Mapping[str, np.ndarray], least: np.ndarray
    ) -> list[Candidates]:
        parts = [self._decode_head(head, outputs[head.output], least) for head in self._heads]
        images, *found = (np.concatenate(values) for values in zip(*parts, strict=True))
        count = len(outputs[self._heads[0].output])
        if count == 1:
            return [Candidates(*found)]
        order = np.argsort(images, kind="stable")  # of an image, head by head
        ends = np.searchsorted(images[order], np.arange(1, count + 1))
        split = (np.split(values[order], ends)[:count] for values in found)
        return [Candidates(*one) for one in zip(*split, strict=True)]

    def _decode_head(
        self, head: HeadSpec, raw: np.ndarray, least: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the image, box, score and class of each candidate.

        Args:
            head: One of the heads.
            raw: Its output, (images, rows, columns, channels).
            least: See `decode`.
        """
        _, rows, columns, channels = raw.shape
        if channels != self._classes + 4 * NANODET_BINS:
            rule = f"have {self._classes + 4 * NANODET_BINS} channels, by its classes"
            raise BundleError(broken_rule(head.output, rule, channels))
        cells = raw.reshape(-1, channels)
        hopeful, which, scores, classes = self._scored(cells[:, : self._classes], least, True)
        images, place = np.divmod(hopeful, rows * columns)
        middles = np.stack([place % columns, place // columns], axis=1) + 0.5
        boxes = _boxes(cells[hopeful, self._classes :], middles) * head.stride
        return images[which], boxes[which], scores, classes

    def _decode_joined(self, cells: np.ndarray, least: np.ndarray) -> Candidates:
        name = self._joined or ""
        shape = len(self._strides), self._classes + 4 * self._bins
        if cells.shape != shape:
            rule = f"be {shape_text(shape)}, by its strides and classes"
            raise BundleError(broken_rule(name, rule, shape_text(cells.shape)))
        raw = cells[:, : self._classes]
        # A network that finds nothing has logits far below 0.
        are_logits = self._scores == "logits" or (self._scores == "auto" and bool((raw < 0).any()))
        hopeful, which, scores, classes = self._scored(raw, least, are_logits)
        boxes = _boxes(cells[hopeful, self._classes :], self._middles[hopeful])
        boxes = np.clip(boxes * self._strides[hopeful, None], 0.0, self._corner)
        scores = np.where(np.isfinite(raw[hopeful[which], classes]), scores, np.nan)
        return sound(boxes[which], scores, classes, name)

    @staticmethod
    def _scored(
        raw: np.ndarray, least: np.ndarray, are_logits: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the cells that may hold objects, and for each object its place there and score.

        Args:
            raw: Logits or probabilities (n, classes).
            least: The lowest wanted score of each class (classes,).
            are_logits: They are logits.

        Returns:
            Cells (hopeful,); indices into those, scores and classes, each (found,).
        """
        lowest = min(1.0, least.min(initial=1.0))
        # Most logits are out by the lowest wanted score: only few sigmoids are computed.
        hopeful = np.flatnonzero(raw.max(axis=1) >= (logit(lowest) if are_logits else lowest))
        scores = sigmoid(raw[hopeful]) if are_logits else raw[hopeful]
        which, classes = np.nonzero(scores >= least)
        return hopeful, which, scores[which, classes], classes


def _boxes(logits: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Return boxes in cells of their level, float64 (n, 4).

    Args:
        logits: Logits of the distances to the four sides (n, 4 * bins).
        middles: Column and row where each box begins (n, 2).
    """
    sides = logits.reshape(len(logits), 4, logits.shape[1] // 4).astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite gives no box
        shares = np.exp(sides - sides.max(axis=2, keepdims=True))
    reach = shares @ np.arange(shares.shape[2]) / shares.sum(axis=2)  # (n, 4), in cells
    return np.concatenate([middles - reach[:, :2], middles + reach[:, 2:]], axis=1)
