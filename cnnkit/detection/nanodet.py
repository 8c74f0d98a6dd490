"""Decodes the raw heads of NanoDet in numpy; cnnkit/architectures/nanodet.py has the layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import ModelCard
from cnnkit.bundles.detector_card import DetectorSpec, HeadSpec, grid_heads
from cnnkit.detection.candidates import Candidates, logit, sigmoid
from cnnkit.errors import BundleError, broken_rule

# As in cnnkit/architectures/nanodet.py, which needs Keras.
BINS = 11


class NanodetDecoder:
    """See `cnnkit.detection.decoders.Decoder`."""

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        self._heads = grid_heads(spec.settings)
        self._classes = card.classes

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        parts = [self._decode_head(head, outputs[head.output], least) for head in self._heads]
        return Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _decode_head(self, head: HeadSpec, raw: np.ndarray, least: np.ndarray) -> Candidates:
        columns, channels = raw.shape[1:]
        if channels != self._classes + 4 * BINS:
            rule = f"have {self._classes + 4 * BINS} channels, by its classes"
            raise BundleError(broken_rule(head.output, rule, channels))
        cells = raw.reshape(-1, channels)
        logits = cells[:, : self._classes]
        # Most logits are out by the lowest wanted score: only few sigmoids are computed.
        hopeful = np.flatnonzero(logits.max(axis=1) >= logit(min(1.0, least.min(initial=1.0))))
        scores = sigmoid(logits[hopeful])
        which, classes = np.nonzero(scores >= least)
        boxes = _boxes(cells[hopeful, self._classes :], hopeful, columns, head.stride)
        return Candidates(boxes[which], scores[which, classes], classes)


def _boxes(logits: np.ndarray, places: np.ndarray, columns: int, stride: int) -> np.ndarray:
    """Return boxes in pixels of the input, float64 (n, 4).

    Args:
        logits: Logits of the distances (n, 4 * BINS).
        places: The number of each cell, row by row (n,).
        columns: Cells a row.
        stride: Pixels of the input a cell.
    """
    sides = logits.reshape(-1, 4, BINS).astype(np.float64)
    shares = np.exp(sides - sides.max(axis=2, keepdims=True))
    reach = shares @ np.arange(BINS) / shares.sum(axis=2)  # (n, 4), in cells
    middles = np.stack([places % columns, places // columns], axis=1) + 0.5
    return np.concatenate([middles - reach[:, :2], middles + reach[:, 2:]], axis=1) * stride
