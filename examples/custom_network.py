"""Build a residual network of one's own in Keras, train it, and use it as a cnnkit model.

python examples/custom_network.py
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import cnnkit


def residual_block(x, filters):
    """Two convolutions of 3x3; the input is added before the last ReLU."""
    shortcut = x  # (batch, height, width, filters)
    for activation in ("relu", None):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.Activation(activation)(x)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, shortcut]))


def digit_network(classes=10):
    """Return a network over RGB images of 16x16 with values of 0 to 255."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 128, -1.0)(image)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = residual_block(keras.layers.MaxPooling2D(2)(x), 16)
    x = residual_block(keras.layers.MaxPooling2D(2)(x), 16)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x))


keras.utils.set_random_seed(1)
digits = load_digits()
with tempfile.TemporaryDirectory() as folder:
    for number in range(600):
        place = Path(folder, "digits", str(digits.target[number]))
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16)).save(place / f"{number}.png")

    options = {"size": 16, "validation": 0.25}
    train = cnnkit.image_dataset(Path(folder, "digits"), split="train", **options)
    model = digit_network()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(train, epochs=15, verbose=0)
    print(f"{model.count_params():,} parameters")

    model.save(Path(folder, "digits.keras"))
    Path(folder, "labels.txt").write_text("\n".join("0123456789") + "\n")
    classifier = cnnkit.Classifier.load(
        Path(folder, "digits.keras"), labels=Path(folder, "labels.txt")
    )
    new = list(range(600, 800))
    pixels = [(digits.images[n] * 255 / 16).astype(np.uint8) for n in new]
    found = classifier.predict([np.asarray(Image.fromarray(p).resize((16, 16))) for p in pixels])
    right = np.mean([one.label == str(digits.target[n]) for one, n in zip(found, new, strict=True)])
    print(f"{right:.1%} of {len(new)} new digits are right")
