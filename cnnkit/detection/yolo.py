"""Decodes the raw heads of YOLOv3 in numpy; the layout stands in cnnkit/architectures/yolo.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import ModelCard
from cnnkit.bundles.detector_card import DetectorSpec, HeadSpec, yolo_heads
from cnnkit.detection.candidates import Candidates, logit, sigmoid
from cnnkit.errors import BundleError, broken_rule

# exp of more would be a box larger than any image.
LARGEST_LOG_SIDE = 10.0


class YoloDecoder:
    """See `cnnkit.detection.decoders.Decoder`."""

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        self._heads = yolo_heads(spec.settings)
        self._classes = card.classes
        named = {name for network in card.networks.values() for name in network.outputs}
        for head in self._heads:
            if named and head.output not in named:
                rule = f"be one of the card's outputs {', '.join(sorted(named))}"
                raise BundleError(broken_rule("detector.heads.output", rule, head.output))

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        parts = [self._decode_head(head, outputs[head.output], least) for head in self._heads]
        return Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _decode_head(self, head: HeadSpec, raw: np.ndarray, least: np.ndarray) -> Candidates:
        columns, channels = raw.shape[1:]
        count = len(head.anchors)
        if channels != count * (5 + self._classes):
            rule = f"have {count * (5 + self._classes)} channels, by its anchors and classes"
            raise BundleError(broken_rule(head.output, rule, channels))
        cells = raw.reshape(-1, 5 + self._classes)  # (rows * columns * anchors, 5 + classes)
        # No score is above its object's: most cells are out before anything is computed.
        hopeful = np.flatnonzero(cells[:, 4] >= logit(min(1.0, least.min(initial=1.0))))
        cells = cells[hopeful]
        scores = sigmoid(cells[:, 4:5]) * sigmoid(cells[:, 5:])  # (hopeful, classes)
        which, classes = np.nonzero(scores >= least)
        boxes = _boxes(cells[:, :4], hopeful, columns, head)
        return Candidates(boxes[which], scores[which, classes], classes)


def _boxes(cells: np.ndarray, places: np.ndarray, columns: int, head: HeadSpec) -> np.ndarray:
    """Return boxes in pixels of the input, float64 (n, 4).

    Args:
        cells: ``tx ty tw th`` (n, 4).
        places: Where each stands among all cells and anchors, row by row (n,).
        columns: Cells a row.
        head: The head.
    """
    place, anchor = np.divmod(places, len(head.anchors))
    corner = np.stack([place % columns, place // columns], axis=1)  # (n, 2): x, y
    centers = (corner + sigmoid(cells[:, :2])) * head.stride
    sides = np.exp(np.minimum(cells[:, 2:4], LARGEST_LOG_SIDE)) * np.array(head.anchors)[anchor]
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
