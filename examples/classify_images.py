"""Name the images of a folder, and find the two that look most alike.

python examples/classify_images.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

import cnnkit

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
files = sorted(str(path) for path in folder.glob("*.jpg"))

classifier = cnnkit.Classifier.load("efficientnet-lite0", features=True)
results = classifier.predict(files)
named = []
for file, result in zip(files, results, strict=True):
    if isinstance(result, cnnkit.Failure):
        print(f"{Path(file).name}: {result.message}")
    else:
        print(f"{Path(file).name}: {result.label} ({result.score:.0%})")
        named.append((file, result.features / np.linalg.norm(result.features)))

features = np.stack([feature for _, feature in named])
alike = features @ features.T - 2 * np.eye(len(features))
first, second = np.unravel_index(alike.argmax(), alike.shape)
print(f"most alike: {Path(named[first][0]).name} and {Path(named[second][0]).name}")
