"""Find what would hurt training in a folder of classes, and mend it.

python examples/check_dataset.py
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

random = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    for label, brightness in (("dark", 60), ("light", 180)):
        place = Path(folder, "photos", label)
        place.mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 60, (48, 48, 3), np.uint8) + np.uint8(brightness)
            Image.fromarray(pixels).save(place / f"{number:02}.png")

    photos = Path(folder, "photos")
    copy = Path(shutil.copy(photos / "dark" / "07.png", photos / "light" / "copy.png"))
    broken = photos / "light" / "broken.png"
    broken.write_bytes((photos / "light" / "03.png").read_bytes()[:200])

    found = cnnkit.doctor(photos, report=Path(folder, "doctor.html"))
    for finding in found.findings:
        print(f"{finding.severity}: {finding.message}")
    copy.unlink()
    broken.unlink()
    found = cnnkit.doctor(photos)
    print(f"mended: {len(found.findings)} findings, fit to train on: {not found.hurts}")
