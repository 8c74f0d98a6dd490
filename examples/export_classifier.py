"""Write a classifier as a plain Keras file, and use that file without cnnkit.

python examples/export_classifier.py
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

import cnnkit

IMAGE = Path(__file__).parent / "images" / "coffee.jpg"

with tempfile.TemporaryDirectory() as folder:
    done = cnnkit.export("squeezenet-1.1", Path(folder, "squeezenet.keras"))
    print(f"checked on {done.images} images: differs by {done.difference:.0e} at most")
    model = keras.saving.load_model(done.path)

image = keras.utils.load_img(IMAGE, target_size=model.input_shape[1:3], interpolation="lanczos")
scores = model.predict(np.asarray(image, np.uint8)[None], verbose=0)["probabilities"][0]
classifier = cnnkit.Classifier.load("squeezenet-1.1")
label = classifier.bundle.labels[int(scores.argmax())]
print(f"{IMAGE.name}: {label} ({scores.max():.3f})")
