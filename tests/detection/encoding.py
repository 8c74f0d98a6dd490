"""Raw outputs of every detector head, encoded from the boxes and scores that they stand for.

The input is 64 x 96: 126 cells of strides 8, 16 and 32, and 128 with stride 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnkit.detection.heads import grid_cells

HEIGHT, WIDTH = 64, 96
SIDES = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
CLASSES = 3
CELLS, PLUS_CELLS = 126, 128
STRIDES, PLUS_STRIDES = [8, 16, 32], [8, 16, 32, 64]

V5 = {"kind": "yolov5", "output": "output0"}
V8 = {"kind": "yolov8", "output": "output0"}
X = {"kind": "yolox", "output": "output0", "strides": STRIDES}
E2E = {"kind": "end-to-end", "output": "output0"}
CENTERED = E2E | {"order": "cxcywh", "unit": "normalized"}
NANO = {"kind": "nanodet", "output": "output0", "strides": STRIDES, "bins": 11, "offset": 0.5}
PLUS = NANO | {"strides": PLUS_STRIDES, "bins": 8, "offset": 0.0}
DETR = {"kind": "detr", "boxes": "pred_boxes", "logits": "logits", "scores": "sigmoid"}
JOINED = {"kind": "detr", "output": "output0", "scores": "probabilities"}
PAIR = {"kind": "boxes-scores", "boxes": "boxes", "scores": "scores"}
LISTS = {"kind": "detections", "boxes": "boxes", "scores": "scores", "labels": "labels"}
TFLITE = LISTS | {"count": "count", "order": "yxyx", "unit": "normalized", "first_class": 0}
TF = TFLITE | {"first_class": 1}


def cells(columns: int, count: int = CELLS) -> np.ndarray:
    """Return rows of boxes whose centers lie all over the input, with no object in them."""
    raw = np.zeros((count, columns), np.float32)
    raw[:, 0], raw[:, 1] = np.linspace(4, WIDTH - 4, count), np.linspace(4, HEIGHT - 4, count)
    raw[:, 2:4] = 8
    return raw


def encoded(section: dict[str, Any], boxes: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return outputs that hold boxes in pixels (n, 4), each with one score a class (n, 3)."""
    count = len(boxes)
    left_top, right_bottom = boxes[:, :2], boxes[:, 2:]
    centers = np.concatenate([(left_top + right_bottom) / 2, right_bottom - left_top], 1)
    best, labels = scores.max(1), scores.argmax(1)
    places = np.arange(count) * 2
    kind = section["kind"]
    if kind == "yolov8":
        raw = cells(4 + CLASSES)
        raw[places] = np.concatenate([centers, scores], 1)
        return {"output0": raw.T}
    if kind == "yolov5":
        raw = cells(5 + CLASSES, 3 * CELLS)
        raw[places] = np.concatenate([centers, np.ones((count, 1)), scores], 1)
        return {"output0": raw}
    corners, strides = grid_cells((HEIGHT, WIDTH), section.get("strides", STRIDES))
    if kind == "yolox":
        raw = np.zeros((CELLS, 5 + CLASSES))
        raw[places, :2] = centers[:, :2] / strides[places, None] - corners[places]
        raw[places, 2:4] = np.log(centers[:, 2:] / strides[places, None])
        raw[places, 4:] = np.concatenate([np.ones((count, 1)), scores], 1)
        return {"output0": raw}
    if kind == "nanodet":
        bins = section["bins"]
        raw = np.full((len(strides), CLASSES + 4 * bins), -50.0)
        middles = corners[places] + section["offset"]
        sides = boxes / strides[places, None]
        reach = np.concatenate([middles - sides[:, :2], sides[:, 2:] - middles], 1)
        assert (0 <= reach).all() and (reach <= bins - 1).all()
        below = np.minimum(reach.astype(int), bins - 2)
        logits = np.full((count, 4, bins), -50.0)
        for step in (0, 1):  # shares of two bins
            share = np.abs(reach - below - (1 - step))
            np.put_along_axis(logits, below[..., None] + step, np.log(share + 1e-20)[..., None], 2)
        raw[places] = np.concatenate([np.log(scores / (1 - scores)), logits.reshape(count, -1)], 1)
        return {"output0": raw}
    if kind == "detr":
        if "output" in section:
            return {"output0": np.concatenate([centers / SIDES, scores], 1)}
        logits = np.log(scores / (1 - scores))
        if section["scores"] == "softmax":
            logits = np.log(np.concatenate([scores, 1 - scores.sum(1, keepdims=True)], 1)) + 3
        return {"pred_boxes": centers / SIDES, "logits": logits}
    if kind == "boxes-scores":
        every, likely = np.full((CELLS, 4), [0.0, 0, WIDTH, HEIGHT]), np.zeros((CELLS, CLASSES))
        every[places], likely[places] = boxes, scores
        return {"boxes": every, "scores": likely}
    if kind == "end-to-end":
        boxes = centers / SIDES if "order" in section else boxes
        return {"output0": np.concatenate([boxes, best[:, None], labels[:, None]], 1)}
    order = [1, 0, 3, 2] if section.get("order") == "yxyx" else [0, 1, 2, 3]
    scale = SIDES if section.get("unit") == "normalized" else 1
    found = {"boxes": (boxes / scale)[:, order], "scores": best, "count": count}
    return found | {"labels": labels + section.get("first_class", 0)}


EVERY = {
    "yolov5": V5,
    "yolov8": V8,
    "yolox": X,
    "end-to-end": E2E,
    "rt-detr, finished": CENTERED,
    "nanodet": NANO | {"bins": 8},
    "nanodet-g": NANO,
    "nanodet-plus": PLUS,
    "rt-detr": DETR,
    "rt-detr in one output": JOINED,
    "detr": DETR | {"scores": "softmax"},
    "boxes-scores": PAIR,
    "detections": LISTS,
    "tflite-detections": TFLITE,
    "tf-detections": TF,
}
