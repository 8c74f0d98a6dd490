"""Tiny sets of images with boxes: discs and squares on a noisy ground, drawn from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cnnkit.formats import AnnotatedImage, BoxAnnotation, write_boxes

CLASSES = ("disc", "square")
COLORS = {"disc": (230, 40, 40), "square": (40, 60, 230)}


def draw_boxes(
    folder: Path, count: int = 12, size: int = 96, first: int = 0, form: str = "voc", most: int = 2
) -> Path:
    """Write ``images/`` and their boxes in one of the formats; return where the boxes are."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        pixels = random.integers(90, 160, (size, size, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        boxes = []
        for column in range(most):
            label = CLASSES[int(random.integers(2))]
            side = int(random.integers(size // 4, size // 2 - 4))
            left = column * size // 2 + int(random.integers(0, size // 2 - side))
            top = int(random.integers(0, size - side))
            corners = (left, top, left + side - 1, top + side - 1)
            shape = draw.ellipse if label == "disc" else draw.rectangle
            shape(corners, fill=COLORS[label])
            boxes.append(BoxAnnotation(label, tuple(map(float, (left, top, side, side)))))
        name = f"{number:03}.png"
        image.save(folder / "images" / name)
        path = str(folder / "images" / name)
        images.append(AnnotatedImage(name, size, size, tuple(boxes), path))
    target = {"voc": "annotations", "coco": "instances.json", "yolo": "labels"}[form]
    write_boxes(f"{form}:{folder / target}", images, CLASSES)
    return folder / target
