"""Learn from triplets which handwritten digits are alike, then tell digits never seen apart."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from cnnkit.data import Shares
from cnnkit.faces.training import EmbedderSettings, learn_faces

with tempfile.TemporaryDirectory() as folder:
    digits = load_digits()
    for number in range(400):
        place = Path(folder) / "digits" / str(digits.target[number])
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 255 / 16).astype(np.uint8)
        cv2.imwrite(str(place / f"{number}.png"), pixels)
    settings = EmbedderSettings(
        str(Path(folder) / "digits"),
        Path(folder) / "alike",
        crop="none",
        size=16,
        people=6,
        photos=8,
        epochs=1,
        augment="none",
        shares=Shares(validation=0.2, test=0.2),
    )
    outcome = learn_faces(settings)
    found = outcome.figures["test"]
    print(f"learnt from {outcome.people.people('train')} digits")
    print(f"{found['people']} digits never seen: AUC {found['auc']:.2f}")
