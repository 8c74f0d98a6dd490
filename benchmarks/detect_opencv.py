"""The usual script: OpenCV 4 reads Darknet's files and finds objects, one image at a time.

    python benchmarks/detect_opencv.py FILE.cfg FILE.weights FOLDER ROWS.jsonl [CONFIDENCE]

Its rows have the form of cnnkit's. The images are put whole into a square, as the network was
trained; both cores are OpenCV's own doing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

SIDE = 416
GRAY = (127, 127, 127)


def letterboxed(pixels: np.ndarray) -> tuple[np.ndarray, float, int, int]:
    """Return a square of `SIDE`, the scale, and the bars on the left and above."""
    height, width = pixels.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    rows, columns = int(height * scale), int(width * scale)
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    resized = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR)
    framed = cv2.copyMakeBorder(
        resized,
        top,
        SIDE - rows - top,
        left,
        SIDE - columns - left,
        cv2.BORDER_CONSTANT,
        value=GRAY,
    )
    return framed, scale, left, top


def found_in(network: cv2.dnn.Net, names: list[str], path: Path, least: float) -> dict:
    """Return the row of one image."""
    pixels = cv2.imread(str(path))
    height, width = pixels.shape[:2]
    framed, scale, left, top = letterboxed(pixels)
    network.setInput(cv2.dnn.blobFromImage(framed, 1 / 255, swapRB=True))
    cells = np.concatenate(network.forward(names))  # cx cy w h object classes
    cells = cells[cells[:, 4] >= least]
    which, classes = np.nonzero(cells[:, 5:] >= least)
    scores = cells[which, 5 + classes]
    boxes = cells[which, :4] * SIDE
    boxes[:, :2] -= boxes[:, 2:] / 2
    boxes[:, :2] -= (left, top)
    boxes /= scale
    kept = (
        cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), least, 0.45)
        if len(boxes)
        else []
    )
    detections = []
    for index in kept:
        x1, y1 = np.maximum(boxes[index, :2], 0)
        x2, y2 = np.minimum(boxes[index, :2] + boxes[index, 2:], (width, height))
        box = [round(float(v), 2) for v in (x1, y1, x2 - x1, y2 - y1)]
        score = round(float(scores[index]), 6)
        detections.append({"class_id": int(classes[index]), "score": score, "box": box})
    detections.sort(key=lambda one: -one["score"])
    size = {"width": width, "height": height}
    return {"path": str(path), "status": "ok", **size, "detections": detections}


def main(cfg: str, weights: str, folder: str, rows: str, confidence: str = "0.25") -> None:
    """Write the rows of every image of a folder."""
    network = cv2.dnn.readNetFromDarknet(cfg, weights)
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    names = list(network.getUnconnectedOutLayersNames())
    with open(rows, "w", encoding="utf-8") as file:
        for path in sorted(Path(folder).rglob("*.jpg")):
            file.write(json.dumps(found_in(network, names, path, float(confidence))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
