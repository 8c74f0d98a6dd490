"""Decoders of imported YOLO networks, whose outputs hold boxes already; see docs/detector-heads.md.

Their names are those of the projects whose exports have these outputs; other projects share them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.bundles.detector_card import BOX_UNITS, DetectorSpec, strides_of
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.heads import (
    class_numbers,
    corners,
    dense_scale,
    grid_cells,
    largest,
    output_of,
    shape_text,
    sound,
    wanted,
)
from cnnkit.errors import BundleError, broken_rule

# exp of more would be a box larger than any image.
LARGEST_LOG_SIDE = 10.0


class Yolov5Decoder:
    """Rows (n, 5 + classes): center x, center y, width, height, objectness, class probabilities.

    A class's score is its probability times the objectness. See
    `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("unit", BOX_UNITS, default="auto")
        self._columns = 5 + card.classes
        self._size = np.array([card.input.width, card.input.height])

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        cells = rows_of(outputs, self._output, self._columns)
        rows, scores, classes = objects(cells, least)
        scale = dense_scale(cells[:, :2], self._unit, self._size)
        return sound(corners(cells[rows, :4]) * scale, scores, classes, self._output)


class Yolov8Decoder:
    """Channels (4 + classes, n): center x, center y, width, height, and a probability a class.

    The transposed output (n, 4 + classes) is understood as well. See
    `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("unit", BOX_UNITS, default="auto")
        self._channels = 4 + card.classes
        self._size = np.array([card.input.width, card.input.height])

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        raw = output_of(outputs, self._output, 2)
        if self._channels not in raw.shape:
            rule = f"have {self._channels} channels, by its classes"
            raise BundleError(broken_rule(self._output, rule, shape_text(raw.shape)))
        cells = raw.T if raw.shape[0] == self._channels else raw  # (n, 4 + classes)
        rows, classes = wanted(cells[:, 4:], least)
        scale = dense_scale(cells[:, :2], self._unit, self._size)
        boxes = corners(cells[rows, :4]) * scale
        return sound(boxes, cells[rows, 4 + classes], classes, self._output)


class YoloxDecoder:
    """Rows (n, 5 + classes) like YOLOv5's, one a cell, the boxes relative to the cells or decoded.

    From a cell's offsets ``(x, y, w, h)`` come the center ``(column + x, row + y) * stride`` and
    the sides ``exp(w, h) * stride``: Ge et al., "YOLOX", https://arxiv.org/abs/2107.08430. YOLOv6
    gives decoded rows. See `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("unit", ("offsets", *BOX_UNITS), default="auto")
        self._columns = 5 + card.classes
        self._size = np.array([card.input.width, card.input.height])
        self._corners, self._strides = grid_cells(card.input.size, strides_of(fields))

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        cells = rows_of(outputs, self._output, self._columns, len(self._strides))
        rows, scores, classes = objects(cells, least)
        boxes = cells[rows, :4].astype(np.float64)
        if self._unit == "offsets" or (self._unit == "auto" and self._is_relative(cells)):
            strides = self._strides[rows, None]
            boxes[:, :2] = (boxes[:, :2] + self._corners[rows]) * strides
            boxes[:, 2:] = np.exp(np.minimum(boxes[:, 2:], LARGEST_LOG_SIDE)) * strides
            return sound(corners(boxes), scores, classes, self._output)
        scale = dense_scale(cells[:, :2], self._unit, self._size)
        return sound(corners(boxes) * scale, scores, classes, self._output)

    def _is_relative(self, cells: np.ndarray) -> bool:
        """Return whether the boxes are offsets: in pixels their centers average the input's."""
        centers = cells[:, :2]
        centers = centers[np.isfinite(centers).all(axis=1)]
        return not len(centers) or bool((centers.mean(axis=0) < self._size / 8).all())


class EndToEndDecoder:
    """Rows (n, 6) of left, top, right, bottom, score, class, of which none is to be removed.

    YOLOv10, and YOLOv8 and its successors exported with non-max suppression. Unused rows have a
    score of 0. With the ``order`` ``cxcywh`` the first four are center x, center y, width and
    height, as in RT-DETR from Ultralytics. See `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = True

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("unit", BOX_UNITS, default="auto")
        self._order = fields.choice("order", ("xyxy", "cxcywh"), default="xyxy")
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        raw = rows_of(outputs, self._output, 6)
        used = raw[np.isfinite(raw).all(axis=1) & (raw[:, 4] > 0)]
        boxes = corners(used) if self._order == "cxcywh" else used[:, :4].astype(np.float64)
        unit = self._unit
        if unit == "auto":  # no object ends within two pixels of the corner
            unit = "normalized" if largest(boxes[:, 2:]) <= 2 else "pixels"
        boxes *= self._size if unit == "normalized" else 1.0
        classes = class_numbers(used[:, 5], len(least), self._output)
        some = used[:, 4] >= least[classes]
        return sound(boxes[some], used[some, 4], classes[some], self._output)


def rows_of(
    outputs: Mapping[str, np.ndarray], name: str, columns: int, count: int | None = None
) -> np.ndarray:
    """Return an output of rows, one a box, (n, columns).

    Args:
        outputs: The raw outputs by name, without the batch.
        name: The output that the card names.
        columns: How many it must have.
        count: How many rows it must have; None: any number.

    Raises:
        BundleError: It is missing or of another shape.
    """
    raw = output_of(outputs, name, 2)
    if raw.shape[1] != columns or count not in (None, len(raw)):
        rule = f"have {columns} columns" + (f" and {count} rows" if count is not None else "")
        raise BundleError(broken_rule(name, rule, shape_text(raw.shape)))
    return raw


def objects(cells: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, the scores and the classes of what is wanted, each (found,).

    Args:
        cells: Rows of box, objectness and class probabilities (n, 5 + classes).
        least: The lowest wanted score of each class (classes,).
    """
    # No score is above its object's: most cells are out before anything is multiplied.
    hopeful = np.flatnonzero(cells[:, 4] >= least.min(initial=np.inf))
    scores = cells[hopeful, 4:5] * cells[hopeful, 5:]
    which, classes = np.nonzero(scores >= least)
    return hopeful[which], scores[which, classes], classes
