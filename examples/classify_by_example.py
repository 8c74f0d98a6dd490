"""Name images by a few examples of each class, without any training.

python examples/classify_by_example.py
"""

import tempfile
from pathlib import Path

from PIL import Image

import cnnkit

images = Path(__file__).parent / "images"
with tempfile.TemporaryDirectory() as folder:
    # A folder per class; here, other crops of a photo stand for other photos of the same thing.
    for label, name in (("cat", "cat.jpg"), ("cup", "coffee.jpg")):
        (Path(folder) / label).mkdir()
        with Image.open(images / name) as photo:
            for edge in (10, 20, 30, 40):
                crop = photo.crop((edge, edge, photo.width - edge, photo.height))
                crop.save(Path(folder, label, f"{edge}.png"))

    classifier = cnnkit.Classifier.by_examples(folder)
    for path, result in classifier.stream(images):
        print(f"{Path(path).name}: {result.label} ({result.score:.2f})")
