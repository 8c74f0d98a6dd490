"""Draws a few pictures with boxes, trains SSD on them, and looks for the boxes in a new one.

Two minutes of training are little: raise FROZEN_EPOCHS and EPOCHS for a detector of use.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cnnkit import Detector
from cnnkit.detection.training.bundle import write_learnt
from cnnkit.detection.training.learning import learn_boxes
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.formats import AnnotatedPicture, BoxAnnotation, write_boxes

SIDE, FROZEN_EPOCHS, EPOCHS = 96, 2, 1


def draw(path: Path, seed: int) -> AnnotatedPicture:
    """Draw a disc or a square on noise; return it with its box."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8))
    side = int(random.integers(24, 56))
    left, top = (int(n) for n in random.integers(0, SIDE - side, 2))
    label = "disc" if seed % 2 else "square"
    shape = ImageDraw.Draw(image).ellipse if seed % 2 else ImageDraw.Draw(image).rectangle
    shape((left, top, left + side - 1, top + side - 1), fill="red" if seed % 2 else "blue")
    image.save(path)
    box = BoxAnnotation(label, (float(left), float(top), float(side), float(side)))
    return AnnotatedPicture(path.name, SIDE, SIDE, (box,), str(path))


with tempfile.TemporaryDirectory() as folder:
    images = Path(folder, "images")
    images.mkdir()
    pictures = [draw(images / f"{seed:02}.png", seed) for seed in range(24)]
    write_boxes(f"coco:{folder}/shapes.json", pictures, ["disc", "square"])

    settings = DetectorSettings(
        data=f"coco:{folder}/shapes.json",
        output=Path(folder, "shapes"),
        architecture="ssd-lite0",
        size=SIDE,
        frozen_epochs=FROZEN_EPOCHS,
        epochs=EPOCHS,
    )
    learnt = learn_boxes(settings)
    write_learnt(learnt)
    print(f"AP50 on {len(learnt.validation)} validation pictures: ", end="")
    print(f"{learnt.figures.average_precision(0.5):.3f}")

    new = draw(images / "new.png", 99)
    detector = Detector.load(f"{folder}/shapes", confidence=0.01)
    found = detector.predict(new.path)
    best = next(iter(found))
    print(f"new.png shows a {new.boxes[0].label}; surest: {best.label}, score {best.score:.2f}")
