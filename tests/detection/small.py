"""Small detectors for tests: cards, and a predictor that gives what it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.card import ModelCard, parse_card
from cnnkit.detection.detector import Detector
from cnnkit.detection.selection import Selection

ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
LABELS = ("person", "dog", "tv")
SIDE = 64
# A logit whose sigmoid is 1 as far as float32 can tell, and one whose sigmoid is 0.
SURE, NEVER = 30.0, -30.0


def card_with_heads(card: ModelCard, masks: Sequence[Sequence[int]]) -> ModelCard:
    """Return a YOLO card with the anchors of these masks of `ANCHORS`."""
    section = dict(card.content["detector"])
    section["heads"] = [
        head | {"anchors": [list(ANCHORS[i]) for i in mask]}
        for head, mask in zip(section["heads"], masks, strict=True)
    ]
    return dataclasses.replace(card, content={**card.content, "detector": section})


def card_content(**detector: Any) -> dict[str, Any]:
    """Return the card of a detector of three classes with one head of one anchor."""
    head = {"output": "stride32", "stride": 32, "anchors": [[16, 32]]}
    return {
        "schema_version": 1,
        "name": "small",
        "task": "detect",
        "architecture": {
            "builder": "yolov3-tiny",
            "arguments": {"classes": 3, "anchors": 1, "input_shape": [SIDE, SIDE, 3]},
        },
        "input": {
            "height": SIDE,
            "width": SIDE,
            "fit": "pad",
            "interpolation": "plain-bilinear",
        },
        "outputs": {"stride32": {"layer": "stride32"}},
        "classes": 3,
        "detector": {"kind": "yolo", "heads": [head]} | detector,
    }


def nanodet_card_content() -> dict[str, Any]:
    """Return the card of a NanoDet of three classes with one head."""
    content = card_content(kind="nanodet", heads=[{"output": "stride32", "stride": 32}])
    content["architecture"]["builder"] = "nanodet-g"
    return content


def small_card(**detector: Any) -> ModelCard:
    """Return `card_content`, read."""
    return parse_card(card_content(**detector))


def raw_head(*objects: tuple[int, int, Mapping[int, float]]) -> np.ndarray:
    """Return a raw head (2, 2, 8) with boxes of 16 x 32 in the middle of cells.

    Args:
        objects: Row, column, and the score of each class there.
    """
    raw = np.full((SIDE // 32, SIDE // 32, 8), NEVER, np.float32)
    raw[..., :4] = 0
    for row, column, scores in objects:
        raw[row, column, 4] = SURE
        for index, score in scores.items():
            raw[row, column, 5 + index] = np.log(score / (1 - score))
    return raw


class Told:
    """A predictor that gives the same raw head for every image."""

    runtime, precision, device, batch_size, concurrency = "told", "float32", "cpu", 2, 1

    def __init__(self, raw: np.ndarray) -> None:
        self.raw = raw
        self.seen: list[np.ndarray] = []

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(images.copy())
        return {"stride32": np.repeat(self.raw[None], len(images), axis=0)}


def told_detector(
    raw: np.ndarray, selection: Selection | None = None, tile: int | None = None, **detector: Any
) -> Detector:
    """Return a detector whose network sees what it is told."""
    card = small_card(**detector)
    bundle = Bundle(card, LABELS, "identity", lambda: None, {})
    return Detector(bundle, Told(raw), card.input, selection, tile)
