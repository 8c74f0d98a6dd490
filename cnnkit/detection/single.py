"""Decodes one class and one box an image; see cnnkit/architectures/localizer.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import ModelCard
from cnnkit.bundles.detector_card import DetectorSpec
from cnnkit.detection.candidates import Candidates, sigmoid


class SingleDecoder:
    """See `cnnkit.detection.decoders.Decoder`."""

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        logits = outputs["classes"].astype(np.float64)  # (classes,)
        shares = np.exp(logits - logits.max())
        scores = shares / shares.sum()
        classes = np.flatnonzero(scores >= least)
        center_x, center_y, width, height = sigmoid(outputs["box"].astype(np.float64))
        box = np.array(
            [
                center_x - width / 2,
                center_y - height / 2,
                center_x + width / 2,
                center_y + height / 2,
            ]
        )
        boxes = np.repeat((box * self._size)[None], len(classes), axis=0)
        return Candidates(boxes, scores[classes], classes)
