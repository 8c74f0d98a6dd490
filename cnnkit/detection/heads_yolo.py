"""Decoders of imported YOLO networks, whose outputs hold boxes already; see docs/detector-heads.md.

Their names are those of the projects whose exports have these outputs; other projects share them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnkit.bundles.card import Fields, ModelCard
from cnnkit.bundles.detector_card import BOX_UNITS, DetectorSpec
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.heads import (
    corners,
    dense_scale,
    largest,
    output_of,
    shape_text,
    sound,
    wanted,
)
from cnnkit.errors import BundleError, broken_rule


class Yolov8Decoder:
    """Channels (4 + classes, n): center x, center y, width, height, and a probability a class.

    The transposed output (n, 4 + classes) is understood as well. See
    `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = False

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("boxes", BOX_UNITS, default="auto")
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


class EndToEndDecoder:
    """Rows (n, 6) of left, top, right, bottom, score, class, of which none is to be removed.

    YOLOv10, and YOLOv8 and its successors exported with non-max suppression. Unused rows have a
    score of 0. See `cnnkit.detection.decoders.Decoder`.
    """

    end_to_end = True

    def __init__(self, spec: DetectorSpec, card: ModelCard) -> None:
        fields = Fields(spec.settings, "detector")
        self._output = fields.text("output")
        self._unit = fields.choice("boxes", BOX_UNITS, default="auto")
        self._size = np.array([card.input.width, card.input.height] * 2, np.float64)

    def decode(self, outputs: Mapping[str, np.ndarray], least: np.ndarray) -> Candidates:
        """See `cnnkit.detection.decoders.Decoder.decode`."""
        raw = output_of(outputs, self._output, 2)
        if raw.shape[1] != 6:
            rule = "have 6 columns: left, top, right, bottom, score, class"
            raise BundleError(broken_rule(self._output, rule, shape_text(raw.shape)))
        used = raw[np.isfinite(raw).all(axis=1) & (raw[:, 4] > 0)]
        unit = self._unit
        if unit == "auto":  # no object ends within two pixels of the corner
            unit = "normalized" if largest(used[:, 2:4]) <= 2 else "pixels"
        scale = self._size if unit == "normalized" else 1.0
        classes = class_numbers(used[:, 5], len(least), self._output)
        some = used[:, 4] >= least[classes]
        boxes = used[some, :4].astype(np.float64) * scale
        return sound(boxes, used[some, 4], classes[some], self._output)


def class_numbers(values: np.ndarray, classes: int, name: str, first: int = 0) -> np.ndarray:
    """Return class numbers that an output gives as floats, counted from 0, int (n,).

    Args:
        values: Finite floats (n,).
        classes: How many classes there are.
        name: The output, for the message.
        first: The number of the first class.

    Raises:
        BundleError: One is no whole number, or none of the classes.
    """
    numbers = np.rint(values).astype(np.int64)
    wrong = values[(numbers < first) | (numbers >= first + classes) | (numbers != values)]
    if len(wrong):
        rule = f"give classes from {first} to {first + classes - 1}"
        raise BundleError(broken_rule(name, rule, f"{wrong[0]:g}"))
    return numbers - first
