"""The contestant of benchmarks/faces.py: the package ``mtcnn``, then dlib, as a script would.

    python benchmarks/faces_contestant.py FOLDER NETWORK.dat OUT.jsonl

Reads with OpenCV, finds faces with ``mtcnn`` at its own settings, cuts each out aligned by its
five landmarks (the template of cnnkit, without which dlib's distances mean nothing), describes it
with dlib, and writes a row an image. Prints seconds and rows, both without the imports.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import dlib
import numpy as np
from mtcnn import MTCNN

TEMPLATE = np.array(
    [(47.57, 46.60), (100.48, 46.60), (74.01, 76.56), (50.41, 103.02), (97.61, 103.02)], np.float32
)
# The package names the eyes and the corners of the mouth as one looks at the image.
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def main(folder: str, network: str, out: str) -> None:
    """Describe the faces of a folder."""
    detector = MTCNN()
    embedder = dlib.face_recognition_model_v1(network)
    paths = sorted(str(path) for path in Path(folder).iterdir())
    detector.detect_faces(np.zeros((200, 200, 3), np.uint8))  # the first call builds graphs
    started = time.perf_counter()
    faces = 0
    with open(out, "w", encoding="utf-8") as file:
        for path in paths:
            image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
            rows = []
            for found in detector.detect_faces(image):
                marks = np.array([found["keypoints"][name] for name in POINTS], np.float32)
                turn, _ = cv2.estimateAffinePartial2D(marks, TEMPLATE, method=cv2.LMEDS)
                chip = cv2.warpAffine(image, turn, (150, 150))
                vector = np.array(embedder.compute_face_descriptor(chip))
                rows.append({"box": found["box"], "embedding": vector.tolist()})
            faces += len(rows)
            file.write(json.dumps({"path": path, "faces": rows}, default=float) + "\n")
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": len(paths), "faces": faces}))


if __name__ == "__main__":
    main(*sys.argv[1:])
