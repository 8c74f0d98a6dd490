"""From a network's raw outputs to candidates; one decoder for each kind of detector.

A new kind has a class like `cnnkit.detection.yolo.YoloDecoder` and a line in `DECODERS`, and its
name in `cnnkit.bundles.detector_card.KINDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

import numpy as np

from cnnkit.bundles.card import ModelCard
from cnnkit.bundles.detector_card import DetectorSpec
from cnnkit.detection.candidates import Candidates, one_by_one
from cnnkit.errors import BundleError, broken_rule


class Decoder(Protocol):
    """Reads the raw outputs of one kind of network. Made as ``Decoder(spec, card)``.

    Making it checks the card's ``detector`` section, and raises `BundleError`.
    """

    @property
    def end_to_end(self) -> bool:
        """Whether each object comes once: non-max suppression would remove true neighbors."""
        ...

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """Return the candidates of one image.

        Args:
            outputs: The raw outputs by name, float32, without the batch.
            least: The lowest score of each class that is wanted, float (classes,); infinite for
                a class that is not.
        """
        ...


def decoded(
    decoder: Decoder, outputs: Mapping[str, np.ndarray], least: np.ndarray
) -> list[Candidates]:
    """Return the candidates of each image of a batch.

    Args:
        decoder: One that is faster with several images together has a method `decode_several`, with
            the arguments and results of this function.
        outputs: The raw outputs by name, float32, with the batch.
        least: See `Decoder.decode`.
    """
    several = getattr(decoder, "decode_several", None)
    return one_by_one(decoder, outputs, least) if several is None else several(outputs, least)


DECODERS = {
    "yolo": "cnnkit.detection.yolo:YoloDecoder",
    "ssd": "cnnkit.detection.ssd:SsdDecoder",
    "nanodet": "cnnkit.detection.nanodet:NanodetDecoder",
    "single": "cnnkit.detection.single:SingleDecoder",
    "yolov5": "cnnkit.detection.heads_yolo:Yolov5Decoder",
    "yolov8": "cnnkit.detection.heads_yolo:Yolov8Decoder",
    "yolox": "cnnkit.detection.heads_yolo:YoloxDecoder",
    "end-to-end": "cnnkit.detection.heads_yolo:EndToEndDecoder",
    "detr": "cnnkit.detection.heads_detr:DetrDecoder",
    "detections": "cnnkit.detection.heads_finished:DetectionsDecoder",
    "boxes-scores": "cnnkit.detection.heads_finished:BoxesScoresDecoder",
}


def make_decoder(spec: DetectorSpec, card: ModelCard) -> Decoder:
    """Return the decoder of a card's kind.

    Raises:
        BundleError: The section breaks a rule, or this kind cannot be decoded.
    """
    if spec.kind not in DECODERS:
        raise BundleError(
            broken_rule("detector.kind", f"be one of {', '.join(DECODERS)}", spec.kind)
        )
    module, _, name = DECODERS[spec.kind].partition(":")
    return getattr(import_module(module), name)(spec, card)
