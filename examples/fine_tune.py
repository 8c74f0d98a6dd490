"""Learn handwritten digits: a head on a frozen backbone first, then the whole network."""

import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

import cnnkit

with tempfile.TemporaryDirectory() as folder:
    digits = load_digits()
    for number in range(150):
        place = Path(folder, "digits", str(digits.target[number]))
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 255 / 16).astype("uint8")
        Image.fromarray(pixels).resize((64, 64)).save(place / f"{number}.png")

    model = cnnkit.transfer_learn(
        Path(folder, "digits"),
        Path(folder, "tuned"),
        backbone="squeezenet-1.1",
        fine_tune=2,
        stages=2,
        augment="none",
    )
    for epoch in model.history:
        if epoch["stage"] == "network":
            print(f"epoch {epoch['epoch']}: validation loss {epoch['validation_loss']:.3f}")
    print(f"accuracy on validation: {model.metrics['top_1']:.2f}")
    print(model.card["training"]["network"]["kept"])
