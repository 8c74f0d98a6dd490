"""Draw photos of two classes, learn them on an embedded backbone, and classify a new one."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import cnnkit


def draw(path: Path, label: str, seed: int) -> Path:
    """Draw a disc or a square of any color on noise."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(60, 200, (96, 96, 3), dtype=np.uint8))
    left, top, side = (int(n) for n in random.integers((5, 5, 40), (30, 30, 60)))
    pen = ImageDraw.Draw(image)
    shape = pen.ellipse if label == "disc" else pen.rectangle
    shape((left, top, left + side, top + side), fill=tuple(map(int, random.integers(0, 256, 3))))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder, "photos")
    for number in range(20):
        for place, label in enumerate(("disc", "square")):
            draw(photos / label / f"{number}.png", label, 2 * number + place)

    bundle = Path(folder, "shapes")
    model = cnnkit.transfer_learn(photos, bundle, test=0.3, backbone="efficientnet-lite0")
    print(f"accuracy on {model.judged_on}: {model.metrics['top_1']:.2f}")

    new = draw(Path(folder, "new.png"), "square", 1000)
    [found] = model.load().predict([str(new)])
    print(f"new.png: {found.predictions[0].label}")
