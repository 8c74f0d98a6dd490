"""Measure a classifier on labeled images: how often it is right, and where it is not.

python examples/evaluate_classifier.py
"""

import tempfile
from pathlib import Path

import cnnkit

IMAGES = Path(__file__).parent / "images"
LABELS = {
    "astronaut.jpg": "space shuttle",
    "cat.jpg": "tabby",
    "coffee.jpg": "espresso",
    "coffee-rotated.jpg": "espresso",
    "rocket.jpg": "missile",
}

with tempfile.TemporaryDirectory() as folder:
    data = Path(folder, "labels.csv")
    lines = [f"{name},{label}" for name, label in LABELS.items()]
    data.write_text("\n".join(["file,class", *lines]) + "\n", encoding="utf-8")
    found = cnnkit.evaluate("efficientnet-lite0", data, root=IMAGES)

print(f"top-1 {found.metrics['top_1']:.2f}, top-5 {found.metrics['top_5']:.2f}")
for wrong in found.figures["mistakes"]:
    name = Path(wrong["path"]).name
    print(f"{name} shows {wrong['truth']}, called {wrong['label']} ({wrong['score']:.0%})")
