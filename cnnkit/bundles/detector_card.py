"""The ``detector`` section of a card: how a detector's outputs become boxes.

It stands beside ``outputs``, which names the network's raw outputs:

    "outputs": {"stride32": {"layer": "stride32"}, "stride16": {"layer": "stride16"}},
    "detector": {
      "kind": "yolo",                      one of `KINDS`: which decoder reads the rest
      "confidence": 0.25,                  scores below it are omitted
      "iou": 0.45,                         non-max suppression removes above it
      "thresholds": {"dog": 0.4},          other confidences of single classes, by label; optional
      "category_ids": [1, 2, 4],           COCO's number of each class; optional
      "heads": [                           of kind yolo: see cnnkit/architectures/yolo.py
        {"output": "stride32", "stride": 32, "anchors": [[81, 82], [135, 169], [344, 319]]}
      ]                                    of kind nanodet: the same without anchors
    }

What a kind needs besides is its decoder's to read and to check, from `DetectorSpec.settings`;
`CardFields` has the bounded readers for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.errors import BundleError
from cnnkit.names import normal_name

KINDS = (
    *("yolo", "ssd", "single", "nanodet"),
    *("yolov5", "yolov8", "yolox", "end-to-end", "detr", "detections", "boxes-scores"),
)
# What boxes that a network gives are measured in; "auto": as their values say.
BOX_UNITS = ("auto", "pixels", "normalized")
DEFAULT_CONFIDENCE = 0.25
DEFAULT_IOU = 0.45
MAX_HEADS = 16
MAX_ANCHORS = 64
MAX_STRIDE = 1024
MAX_PIXELS = 1e5
# Distances that NanoDet's heads weigh for each side of a box.
NANODET_BINS = 11
CardFields = Fields


@dataclass(frozen=True)
class DetectorSpec:
    """A ``detector`` section, checked.

    Attributes:
        kind: Which decoder reads the outputs, one of `KINDS`.
        confidence: A score below it is omitted, 0 to 1.
        iou: Non-max suppression removes what overlaps a better box by more, 0 to 1.
        thresholds: The confidence of single classes, by label.
        category_ids: COCO's number of each class, or None: 1, 2, ...
        settings: The whole section, for the decoder of the kind.
    """

    kind: str
    confidence: float = DEFAULT_CONFIDENCE
    iou: float = DEFAULT_IOU
    thresholds: Mapping[str, float] = field(default_factory=dict)
    category_ids: tuple[int, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HeadSpec:
    """One head of a network.

    Attributes:
        output: The name of the raw output.
        stride: Pixels of the input a cell.
        anchors: Width and height of each anchor in pixels of the input; empty where the network
            has none.
    """

    output: str
    stride: int
    anchors: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the head as it stands in a card."""
        head: dict[str, Any] = {"output": self.output, "stride": self.stride}
        return head | {"anchors": [list(pair) for pair in self.anchors]} if self.anchors else head


def detector_spec(card: ModelCard) -> DetectorSpec:
    """Return the checked ``detector`` section of a card.

    Raises:
        BundleError: It is missing, or a field breaks a rule.
    """
    section = Fields(card.content, "card").section("detector")
    thresholds = section.section("thresholds", optional=True)
    return DetectorSpec(
        kind=section.choice("kind", KINDS),
        confidence=section.number("confidence", 0.0, 1.0, default=DEFAULT_CONFIDENCE),
        iou=section.number("iou", 0.0, 1.0, default=DEFAULT_IOU),
        thresholds={
            normal_name(label): thresholds.number(label, 0.0, 1.0, default=None)
            for label in thresholds.content()
        },
        category_ids=_category_ids(section, card.classes),
        settings=section.content(),
    )


def _category_ids(section: Fields, classes: int) -> tuple[int, ...] | None:
    numbers = section.content().get("category_ids")
    if numbers is None:
        return None
    whole = isinstance(numbers, list) and all(type(n) is int and 0 <= n < 1 << 31 for n in numbers)
    if not whole or len(set(numbers)) != classes or len(numbers) != classes:
        raise BundleError(
            f"detector.category_ids must be {classes} different whole numbers, one for each "
            "class. Received: something else."
        )
    return tuple(numbers)


def yolo_heads(settings: Mapping[str, Any]) -> tuple[HeadSpec, ...]:
    """Return the checked heads of a section of kind ``yolo``.

    Raises:
        BundleError: A field is missing or breaks a rule.
    """
    return tuple(_head(fields, _anchors(fields)) for fields in _head_fields(settings))


def grid_heads(settings: Mapping[str, Any]) -> tuple[HeadSpec, ...]:
    """Return the checked heads, without anchors, of a section of kind ``nanodet``.

    Raises:
        BundleError: A field is missing or breaks a rule.
    """
    return tuple(_head(fields, ()) for fields in _head_fields(settings))


def head_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output that the decoder of a detector of ours reads.

    Args:
        card: Of a detector.

    Returns:
        By the name of the output, without the batch: (rows, columns, channels), or of kind
        ``single`` (classes,) and (4,). Empty for the kinds of imported networks.

    Raises:
        BundleError: The ``detector`` section breaks a rule.
    """
    spec = detector_spec(card)
    if spec.kind == "single":
        return {"classes": (card.classes,), "box": (4,)}
    if spec.kind == "nanodet" and "heads" in spec.settings:
        heads, of_a_cell = grid_heads(spec.settings), card.classes + 4 * NANODET_BINS
    elif spec.kind in ("yolo", "ssd"):
        heads, of_a_cell = yolo_heads(spec.settings), 5 + card.classes
    else:
        return {}
    return {
        head.output: (
            -(-card.input.height // head.stride),
            -(-card.input.width // head.stride),
            max(1, len(head.anchors)) * of_a_cell,
        )
        for head in heads
    }


def strides_of(fields: Fields) -> tuple[int, ...]:
    """Return the checked ``strides`` of a section: pixels of the input a cell, level by level.

    Raises:
        BundleError: They are missing or break a rule.
    """
    strides = fields.content().get("strides")
    if (
        not isinstance(strides, list)
        or not 1 <= len(strides) <= MAX_HEADS
        or not all(type(s) is int and 1 <= s <= MAX_STRIDE for s in strides)
    ):
        raise BundleError(
            f"detector.strides must be a list of 1 to {MAX_HEADS} whole numbers from 1 to "
            f"{MAX_STRIDE}. Received: another value."
        )
    return tuple(strides)


def _head_fields(settings: Mapping[str, Any]) -> list[Fields]:
    heads = settings.get("heads")
    if not isinstance(heads, list) or not 1 <= len(heads) <= MAX_HEADS:
        raise BundleError(
            f"detector.heads must be a list of 1 to {MAX_HEADS} heads. Received: another value."
        )
    return [Fields(entry, "detector.heads") for entry in heads]


def _head(fields: Fields, anchors: tuple[tuple[float, float], ...]) -> HeadSpec:
    return HeadSpec(fields.text("output"), fields.integer("stride", 1, MAX_STRIDE), anchors)


def _anchors(fields: Fields) -> tuple[tuple[float, float], ...]:
    anchors = fields.content().get("anchors")
    if not isinstance(anchors, list) or not 1 <= len(anchors) <= MAX_ANCHORS:
        raise BundleError(
            f"detector.heads.anchors must be a list of 1 to {MAX_ANCHORS} pairs. "
            "Received: another value."
        )
    return tuple(_anchor(pair) for pair in anchors)


def _anchor(pair: Any) -> tuple[float, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise BundleError("an anchor must be [width, height]. Received: another value.")
    sides = Fields(dict(zip(("width", "height"), pair, strict=True)), "an anchor")
    width, height = (sides.number(name, 0.01, MAX_PIXELS, None) for name in ("width", "height"))
    if width is None or height is None:
        raise BundleError("an anchor must be [width, height]. Received: null.")
    return width, height
