"""Show what in each image of a folder speaks for its class.

python examples/explain_images.py [FOLDER] [OUTPUT]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("explained")
output.mkdir(exist_ok=True)
files = sorted(folder.glob("*.jpg"))

explainer = cnnkit.Explainer.load("efficientnet-lite0", "grad-cam")
for file, result in zip(files, explainer.predict([str(file) for file in files]), strict=True):
    if isinstance(result, cnnkit.Failure):
        print(f"{file.name}: {result.message}")
        continue
    print(f"{file.name}: {result.label} ({result.score:.0%}), in the box {result.box}")
    image = np.asarray(Image.open(file).convert("RGB"))
    if image.shape[:2] == (result.height, result.width):  # not turned by EXIF
        Image.fromarray(result.over(image)).save(output / f"{file.stem}.png")
