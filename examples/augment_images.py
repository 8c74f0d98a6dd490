"""Show what augmentation recipes do to images, before training with one of them.

python examples/augment_images.py [FOLDER FOR THE SHEETS]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

images = Path(__file__).parent / "images"
photos = [images / "cat.jpg", images / "coffee.jpg"]

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
    pixels = {}
    for recipe in ("none", "light", "strong"):
        sheet = cnnkit.augment(
            photos, folder / f"{recipe}.png", recipe=recipe, count=6, seed=7, overwrite=True
        )
        pixels[recipe] = np.asarray(Image.open(sheet.path).convert("L"), np.float32)
        height, width = pixels[recipe].shape
        change = np.abs(pixels[recipe] - pixels["none"]).mean()
        print(f"{recipe}: {width} x {height} pixels, mean change {change:.1f}")
