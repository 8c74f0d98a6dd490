"""From a network's boxes and annotations to what `box_figures` compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnkit.boxes import clip, letterbox, nms, xyxy_to_xywh
from cnnkit.detection.average_precision import FoundBoxes, TrueBoxes
from cnnkit.formats import AnnotatedImage
from cnnkit.images import InputSpec

# As usual for the figures: nearly everything counts, up to 100 boxes per image.
CONFIDENCE, OVERLAP, MOST = 0.005, 0.45, 100


def found_boxes(
    boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], spec: InputSpec
) -> FoundBoxes:
    """Return the detections in one image, after non-max suppression for each class.

    Args:
        boxes: Corners in pixels of the input (n, 4).
        scores: Scores of all classes, (n, classes).
        size: (height, width) of the image.
        spec: What the network takes; its ``fit`` is ``pad``.
    """
    rows, labels = np.nonzero(scores > CONFIDENCE)
    placed = letterbox(*size, spec.height, spec.width).to_image(boxes[rows])
    placed, chosen = clip(placed, *size), scores[rows, labels].astype(np.float64)
    kept = nms(placed, chosen, OVERLAP, labels, limit=MOST)
    return FoundBoxes(xyxy_to_xywh(placed[kept]), labels[kept], chosen[kept])


def true_boxes(image: AnnotatedImage, classes: Sequence[str], size: tuple[int, int]) -> TrueBoxes:
    """Return the truth about one image, in its own pixels.

    Args:
        image: As annotated, perhaps for another size.
        classes: In the network's order; boxes of others do not count.
        size: (height, width) of the image itself.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    known = [one for one in image.boxes if one.label in numbers]
    height, width = size
    factor = np.array([width / (image.width or width), height / (image.height or height)] * 2)
    boxes = np.array([one.box for one in known], np.float64).reshape(-1, 4) * factor
    areas = [
        box[2] * box[3] if one.area is None else one.area * factor[0] * factor[1]
        for one, box in zip(known, boxes, strict=True)
    ]
    return TrueBoxes(
        boxes,
        np.array([numbers[one.label] for one in known], int),
        np.array([one.crowd for one in known], bool),
        np.array([one.difficult for one in known], bool),
        np.array(areas, np.float64),
    )
