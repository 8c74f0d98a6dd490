"""What is particular to each kind of detector: its loss, and how its outputs become boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from keras import ops

from cnnkit.architectures import nanodet
from cnnkit.architectures.ssd import decode_offsets, default_boxes
from cnnkit.architectures.yolo import decode_head
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.losses.boxes import corners
from cnnkit.losses.localization import localization_loss
from cnnkit.losses.nanodet import nanodet_loss
from cnnkit.losses.ssd import ssd_loss
from cnnkit.losses.yolo import LossParts, Truth, yolo_loss


class DetectorTask(Protocol):
    """A kind of detector in training."""

    def loss(self, outputs: dict[str, Any], truth: Truth, size: Any) -> LossParts:
        """Return the loss of each image.

        Args:
            outputs: Outputs of the network, by name.
            truth: The ground truth boxes.
            size: Height and width of the input.
        """

    def boxes(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """Return boxes, and the scores of their classes.

        Corners in pixels of the input (batch, n, 4), and (batch, n, classes), 0 to 1.
        """


@dataclass(frozen=True)
class YoloTask:
    """YOLOv3 and YOLOv3-tiny.

    Attributes:
        heads: Heads of the network.
        box_loss: ``yolo`` or ``ciou``.
    """

    heads: tuple[HeadSpec, ...]
    box_loss: str = "yolo"

    def loss(self, outputs: dict[str, Any], truth: Truth, size: Any) -> LossParts:
        """See `DetectorTask`."""
        raw = [outputs[head.output] for head in self.heads]
        return yolo_loss(raw, self.heads, truth, self.box_loss)

    def boxes(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """See `DetectorTask`."""
        found = []
        for head in self.heads:
            boxes, objects, classes = decode_head(outputs[head.output], head.anchors, head.stride)
            scores = ops.sigmoid(objects)[..., None] * ops.sigmoid(classes)
            found.append((_flat(boxes, 4), _flat(scores, classes.shape[-1])))
        return tuple(ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))


@dataclass(frozen=True)
class NanodetTask:
    """NanoDet.

    Attributes:
        heads: Heads of the network; they have no anchors.
    """

    heads: tuple[HeadSpec, ...]

    def loss(self, outputs: dict[str, Any], truth: Truth, size: Any) -> LossParts:
        """See `DetectorTask`."""
        return nanodet_loss([outputs[head.output] for head in self.heads], self.heads, truth)

    def boxes(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """See `DetectorTask`."""
        found = []
        for head in self.heads:
            boxes, classes = nanodet.decode_head(outputs[head.output], head.stride)
            found.append((_flat(boxes, 4), _flat(ops.sigmoid(classes), classes.shape[-1])))
        return tuple(ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))


@dataclass(frozen=True)
class SsdTask:
    """SSD.

    Attributes:
        heads: Heads of the network; its anchors are the default boxes.
    """

    heads: tuple[HeadSpec, ...]

    def loss(self, outputs: dict[str, Any], truth: Truth, size: Any) -> LossParts:
        """See `DetectorTask`."""
        raw, defaults = self._together(outputs, size)
        sides = ops.cast(ops.stack([size[1], size[0]] * 2), "float32")
        return ssd_loss(raw[..., :4], raw[..., 4:], defaults / sides, truth)

    def boxes(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """See `DetectorTask`."""
        raw, defaults = self._together(outputs, size)
        return decode_offsets(raw[..., :4], defaults), ops.softmax(raw[..., 4:], axis=-1)[..., 1:]

    def _together(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """Return all heads' outputs (batch, defaults, 5 + classes) and their default boxes."""
        parts, defaults = [], []
        for head in self.heads:
            raw = outputs[head.output]
            boxes = default_boxes(raw, head.anchors, size[0], size[1])
            defaults.append(ops.reshape(boxes, (-1, 4)))
            parts.append(_flat(raw, raw.shape[-1] // len(head.anchors)))
        return ops.concatenate(parts, axis=1), ops.concatenate(defaults, axis=0)


@dataclass(frozen=True)
class SingleTask:
    """One class and one box an image."""

    def loss(self, outputs: dict[str, Any], truth: Truth, size: Any) -> LossParts:
        """See `DetectorTask`."""
        return localization_loss(outputs["classes"], outputs["box"], truth)

    def boxes(self, outputs: dict[str, Any], size: Any) -> tuple[Any, Any]:
        """See `DetectorTask`."""
        sides = ops.cast(ops.stack([size[1], size[0]] * 2), "float32")
        boxes = corners(ops.sigmoid(outputs["box"])) * sides
        return boxes[:, None], ops.softmax(outputs["classes"], axis=-1)[:, None]


def _flat(values: Any, width: int) -> Any:
    """Return (batch, ..., width) as (batch, n, width)."""
    return ops.reshape(values, (ops.shape(values)[0], -1, width))
