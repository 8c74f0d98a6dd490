"""Compare a face with a turned, darker, recompressed copy of itself, and with a cup of coffee.

python examples/verify_faces.py
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

folder = Path(__file__).parent / "images"
astronaut = Image.open(folder / "astronaut.jpg")

content = BytesIO()
copy = astronaut.rotate(10, Image.Resampling.BICUBIC).point(lambda value: value * 0.7)
copy.save(content, "JPEG", quality=40)
copy = np.asarray(Image.open(content))

verifier = cnnkit.FaceVerifier.load()
match, none = verifier.predict(
    [(folder / "astronaut.jpg", copy), (folder / "astronaut.jpg", folder / "coffee.jpg")]
)
words = "same person" if match.same else "different people"
print(f"turned, darker, recompressed: {words}, distance {match.distance:.3f}")
print(f"a cup of coffee: {none.message.partition(': ')[2]}")
