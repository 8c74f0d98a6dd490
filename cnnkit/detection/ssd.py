"""Decodes the raw heads of SSD in numpy; the layout stands in cnnkit/architectures/ssd.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import ModelCard
from cnnkit.bundles.detector_card import DetectorSpec, HeadSpec, yolo_heads
from cnnkit.detection.candidates import Candidates
from cnnkit.errors import BundleError, broken_rule

# As in cnnkit/architectures/ssd.py, which needs Keras.
CENTER_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
LARGEST_LOG_SIDE = 10.0


class SsdDecoder:
    """See `cnnkit.detection.decoders.Decoder`. The section's ``heads`` are like YOLO's."""

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        self._heads = yolo_heads(spec.settings)
        self._classes = card.classes
        self._size = np.array([card.input.width, card.input.height], np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        parts = [self._decode_head(head, outputs[head.output], least) for head in self._heads]
        return Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _decode_head(self, head: HeadSpec, raw: np.ndarray, least: np.ndarray) -> Candidates:
        rows, columns, channels = raw.shape
        count = len(head.anchors)
        if channels != count * (5 + self._classes):
            rule = f"have {count * (5 + self._classes)} channels, by its anchors and classes"
            raise BundleError(broken_rule(head.output, rule, channels))
        cells = raw.reshape(-1, 5 + self._classes).astype(np.float64)
        shares = np.exp(cells[:, 4:] - cells[:, 4:].max(axis=1, keepdims=True))
        scores = shares[:, 1:] / shares.sum(axis=1, keepdims=True)
        which, classes = np.nonzero(scores >= least)
        place, anchor = np.divmod(which, count)
        middles = np.stack([place % columns, place // columns], axis=1) + 0.5
        middles *= self._size / (columns, rows)
        sides = np.array(head.anchors)[anchor]
        boxes = _boxes(cells[which, :4], middles, sides)
        return Candidates(boxes, scores[which, classes], classes)


def _boxes(offsets: np.ndarray, middles: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return corners (n, 4) of offsets (n, 4) from default boxes: middles and sides (n, 2)."""
    centers = middles + CENTER_VARIANCE * offsets[:, :2] * sides
    half = np.exp(np.minimum(SIDE_VARIANCE * offsets[:, 2:], LARGEST_LOG_SIDE)) * sides / 2
    return np.concatenate([centers - half, centers + half], axis=1)
