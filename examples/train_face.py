"""Learn from triplets which handwritten digits are alike, then tell digits never seen apart."""

import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

import cnnkit

with tempfile.TemporaryDirectory() as folder:
    digits = load_digits()
    for number in range(400):
        place = Path(folder, "digits", str(digits.target[number]))
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 255 / 16).astype("uint8")
        Image.fromarray(pixels).save(place / f"{number}.png")
    model = cnnkit.train_face(
        Path(folder, "digits"),
        Path(folder, "alike"),
        network="embedding-small",
        crop="none",
        size=16,
        people=6,
        photos=8,
        epochs=1,
        augment="none",
        validation=0.2,
        test=0.2,
    )
    print(f"learned from {model.card['training']['data']['people']['train']} digits")
    print(f"{model.metrics['people']} digits never seen: AUC {model.metrics['auc']:.2f}")
