"""A detector as it is exported: pixels in, decoded boxes and scores out.

The decoding of `cnnkit.detection.decoders` stands in the file once more, in Keras's layers, and
each export is checked against those decoders. What is left to whoever runs it is a choice: the
lowest score, and non-max suppression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle, ModelCard
from cnnkit.bundles.detector_card import (
    NANODET_BINS,
    DetectorSpec,
    HeadSpec,
    detector_spec,
    grid_heads,
    yolo_heads,
)
from cnnkit.detection.decoders import make_decoder
from cnnkit.detection.ssd import CENTER_VARIANCE, SIDE_VARIANCE
from cnnkit.detection.yolo import LARGEST_LOG_SIDE
from cnnkit.errors import BundleError, broken_rule
from cnnkit.exporting import NetworkExport, Output, Request
from cnnkit.exporting.networks import Arrays, fitted, image_input

BOXES, SCORES = "boxes", "scores"
# Of the input's longer side, or of a box's edge where that lies further out.
BOX_TOLERANCE = 1e-4
# A score's share is taken of this at least: engines compute a sigmoid in float32 by halves.
SMALL_SCORE = 1e-3


def detector_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport]:
    """Describe the export of a detector, for the task ``detect``.

    Raises:
        UsageError: A size is requested: the boxes are those of one size.
        BundleError: The card's ``detector`` section breaks a rule, or its kind has no export.
    """
    card = bundle.card
    request.refuse_size(card.name, card.input.height, card.input.width)
    section = detector_spec(card)
    if section.kind not in ENDINGS:
        rule = f"be one of {', '.join(ENDINGS)} for an export"
        raise BundleError(broken_rule("detector.kind", rule, section.kind))
    decoder = make_decoder(section, card)
    every = np.zeros(card.classes)

    def expected(raw: Arrays) -> Arrays:
        """Return what the decoder makes of the network's own outputs, in float64."""
        exact = {name: values.astype(np.float64) for name, values in raw.items()}
        found = [
            decoder.decode({name: values[i] for name, values in exact.items()}, every)
            for i in range(len(next(iter(exact.values()))))
        ]
        # Every box stands there once for each class, box by box.
        boxes = [one.boxes.reshape(-1, card.classes, 4)[:, 0] for one in found]
        scores = [one.scores.reshape(-1, card.classes) for one in found]
        return {BOXES: np.stack(boxes), SCORES: np.stack(scores)}

    ending = ENDINGS[section.kind]
    exported = NetworkExport(
        name=None,
        inputs=(image_input(card.input.height, card.input.width, fitted(card.input)),),
        outputs=_outputs(card),
        ending=lambda keras, raw: ending(keras, raw, section, card),
        expected=expected,
        samples=lambda earlier: [{"image": request.fitting(card.input)}],
        batch=request.batch,
        facts=_facts(bundle, section),
    )
    return (exported,)


def _outputs(card: ModelCard) -> tuple[Output, Output]:
    side = max(card.input.height, card.input.width)
    boxes = "left, top, right, bottom in pixels of the input, not cut at its borders"
    scores = "of each label, 0 to 1, for each box: non-max suppression is left to you"
    return (
        Output(BOXES, boxes, "box", "the input's side", float(side), BOX_TOLERANCE),
        Output(SCORES, scores, "score", "a score", SMALL_SCORE),
    )


def _facts(bundle: Bundle, section: DetectorSpec) -> dict[str, Any]:
    own = {
        "confidence": section.confidence,
        "thresholds": dict(section.thresholds),
        "iou": section.iou,
        "category_ids": None if section.category_ids is None else list(section.category_ids),
    }
    return {"suppression": own, "labels": list(bundle.labels)}


# --- the decoders in Keras's layers -------------------------------------------------------
# What is constant is a Rescaling's list: a tensor would become one more input of an ONNX file.


def yolo_ending(
    keras: Any, raw: Mapping[str, Any], section: DetectorSpec, card: ModelCard
) -> dict[str, Any]:
    """Decode the heads of YOLOv3; see cnnkit/architectures/yolo.py.

    Returns:
        ``boxes`` (batch, n, 4) and ``scores`` (batch, n, classes).
    """

    def decode(head: HeadSpec) -> tuple[Any, Any]:
        """Return the corners and the scores of one head's boxes."""
        cells = _cells(keras, raw[head.output], head, card.classes)
        rows, columns = cells.shape[1:3]
        corner = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
        corner = corner[:, :, None] * head.stride  # (rows, columns, 1, 2): x, y
        centers = _scaled(keras, keras.ops.sigmoid(cells[..., :2]), head.stride, corner)
        growth = _growth(keras, cells[..., 2:4])
        half = _scaled(keras, growth, np.array(head.anchors) / 2)
        scores = keras.ops.sigmoid(cells[..., 4:5]) * keras.ops.sigmoid(cells[..., 5:])
        return _corners(keras, centers, half), scores

    return _joined(keras, [decode(head) for head in yolo_heads(section.settings)])


def ssd_ending(
    keras: Any, raw: Mapping[str, Any], section: DetectorSpec, card: ModelCard
) -> dict[str, Any]:
    """Decode the heads of SSD; see cnnkit/architectures/ssd.py, and `yolo_ending`."""
    size = np.array([card.input.width, card.input.height])

    def decode(head: HeadSpec) -> tuple[Any, Any]:
        """Return the corners and the scores of one head's boxes."""
        cells = _cells(keras, raw[head.output], head, card.classes)
        rows, columns = cells.shape[1:3]
        middles = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5
        middles = middles[:, :, None] * size / (columns, rows)  # (rows, columns, 1, 2): x, y
        sides = np.array(head.anchors)
        centers = _scaled(keras, cells[..., :2], CENTER_VARIANCE * sides, middles)
        growth = _growth(keras, SIDE_VARIANCE * cells[..., 2:4])
        scores = keras.ops.softmax(cells[..., 4:], axis=-1)[..., 1:]  # without the background
        return _corners(keras, centers, _scaled(keras, growth, sides / 2)), scores

    return _joined(keras, [decode(head) for head in yolo_heads(section.settings)])


def single_ending(
    keras: Any, raw: Mapping[str, Any], section: DetectorSpec, card: ModelCard
) -> dict[str, Any]:
    """Decode one class and one box; see cnnkit/architectures/localizer.py, and `yolo_ending`."""
    size = np.array([card.input.width, card.input.height])
    box = keras.ops.sigmoid(raw["box"])[:, None]  # (batch, 1, 4)
    centers, half = (_scaled(keras, box[..., :2], size), _scaled(keras, box[..., 2:], size / 2))
    scores = keras.ops.softmax(raw["classes"], axis=-1)[:, None]  # (batch, 1, classes)
    return _joined(keras, [(_corners(keras, centers, half), scores)])


def nanodet_ending(
    keras: Any, raw: Mapping[str, Any], section: DetectorSpec, card: ModelCard
) -> dict[str, Any]:
    """Decode the heads of NanoDet; see cnnkit/architectures/nanodet.py, and `yolo_ending`."""

    def decode(head: HeadSpec) -> tuple[Any, Any]:
        """Return the corners and the scores of one head's boxes."""
        cells = raw[head.output]
        rows, columns = cells.shape[1:3]
        logits = keras.ops.reshape(cells[..., card.classes :], (-1, rows, columns, 4, NANODET_BINS))
        shares = _scaled(
            keras, keras.ops.softmax(logits, axis=-1), np.arange(NANODET_BINS) * head.stride
        )
        reach = keras.ops.sum(shares, axis=-1)  # (batch, rows, columns, 4), in pixels
        middles = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5
        middles = middles * head.stride  # (rows, columns, 2): x, y
        first = _scaled(keras, reach[..., :2], -1.0, middles)
        second = _scaled(keras, reach[..., 2:], 1.0, middles)
        scores = keras.ops.sigmoid(cells[..., : card.classes])
        return keras.ops.concatenate([first, second], axis=-1), scores

    return _joined(keras, [decode(head) for head in grid_heads(section.settings)])


Ending = Callable[[Any, Mapping[str, Any], DetectorSpec, ModelCard], dict[str, Any]]
ENDINGS: dict[str, Ending] = {
    "yolo": yolo_ending,
    "ssd": ssd_ending,
    "single": single_ending,
    "nanodet": nanodet_ending,
}


def _cells(keras: Any, raw: Any, head: HeadSpec, classes: int) -> Any:
    """Return a head with an axis for its anchors, (batch, rows, columns, anchors, 5 + classes)."""
    return keras.ops.reshape(raw, (-1, *raw.shape[1:3], len(head.anchors), 5 + classes))


def _scaled(keras: Any, x: Any, scale: Any, offset: Any = 0.0) -> Any:
    """Return ``x * scale + offset``, where both are NumPy's."""
    plain = (np.asarray(value, np.float64).tolist() for value in (scale, offset))
    return keras.layers.Rescaling(*plain)(x)


def _growth(keras: Any, logarithms: Any) -> Any:
    return keras.ops.exp(keras.ops.minimum(logarithms, LARGEST_LOG_SIDE))


def _corners(keras: Any, centers: Any, half: Any) -> Any:
    """Return left, top, right, bottom of middles and half sides, both (..., 2)."""
    return keras.ops.concatenate([centers - half, centers + half], axis=-1)


def _joined(keras: Any, heads: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Return the boxes and scores of all heads in one row, head by head, cell by cell."""
    joined = []
    for number, name in enumerate((BOXES, SCORES)):
        flat = [_flat(keras, head[number]) for head in heads]
        whole = flat[0] if len(flat) == 1 else keras.ops.concatenate(flat, axis=1)
        joined.append(keras.layers.Identity(dtype="float32", name=name)(whole))
    return dict(zip((BOXES, SCORES), joined, strict=True))


def _flat(keras: Any, values: Any) -> Any:
    """Return (batch, ..., channels) as (batch, n, channels)."""
    count = int(np.prod(values.shape[1:-1]))
    return keras.ops.reshape(values, (-1, count, values.shape[-1]))
