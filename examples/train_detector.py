"""Draws a few images with boxes, trains NanoDet on them, and looks for the boxes in a new one.

Two minutes of training are little: raise FROZEN_EPOCHS and EPOCHS for a detector of use.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import cnnkit

SIDE, FROZEN_EPOCHS, EPOCHS = 96, 2, 8
CLASSES = ("square", "disc")


def draw(path: Path, seed: int) -> list[int]:
    """Draw a square (even seed) or a disc on noise; return its box: left, top, width, height."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8))
    side = int(random.integers(24, 56))
    left, top = (int(n) for n in random.integers(0, SIDE - side, 2))
    shape = ImageDraw.Draw(image).ellipse if seed % 2 else ImageDraw.Draw(image).rectangle
    shape((left, top, left + side - 1, top + side - 1), fill="red" if seed % 2 else "blue")
    image.save(path)
    return [left, top, side, side]


with tempfile.TemporaryDirectory() as folder:
    coco = {"images": [], "annotations": [], "categories": []}
    coco["categories"] = [{"id": n, "name": name} for n, name in enumerate(CLASSES)]
    for seed in range(24):
        name = f"{seed:02}.png"
        box = draw(Path(folder, name), seed)
        coco["images"].append({"id": seed, "file_name": name, "width": SIDE, "height": SIDE})
        coco["annotations"].append(
            {"id": seed, "image_id": seed, "category_id": seed % 2, "bbox": box}
        )
    Path(folder, "shapes.json").write_text(json.dumps(coco))

    model = cnnkit.train_detector(
        f"coco:{folder}/shapes.json",
        Path(folder, "shapes"),
        architecture="nanodet-g",
        size=SIDE,
        frozen_epochs=FROZEN_EPOCHS,
        epochs=EPOCHS,
    )
    print(f"AP50 on validation: {model.metrics['AP50']:.3f}")

    drawn = draw(Path(folder, "new.png"), 99)
    detector = cnnkit.Detector.load(f"{folder}/shapes", confidence=0.001)
    best = next(iter(detector.predict(Path(folder, "new.png"))))
    left, top, width, height = best.xywh
    print(f"new.png shows a disc at {drawn}")
    print(
        f"best: {best.label} at [{left:.0f}, {top:.0f}, {width:.0f}, {height:.0f}], "
        f"score {best.score:.2f}"
    )
