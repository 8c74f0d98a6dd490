"""Build a small residual network of one's own, see what it costs, and train it on digits.

python examples/custom_network.py
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from cnnkit.architectures import blocks
from cnnkit.lab.networks import read_network, totals
from cnnkit.runtime import seed_everything


def residual_block(x, filters, name):
    """Two convolutions of 3x3; the input is added before the last ReLU."""
    shortcut = x  # (batch, height, width, filters)
    x = blocks.conv_unit(x, filters, 3, name=f"{name}_first")
    x = blocks.conv_unit(x, filters, 3, name=f"{name}_second", activation=None)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, shortcut]))


def digit_network(classes=10):
    """Return a network over gray images of 8x8 with values of 0 to 255."""
    image = blocks.rgb_input((8, 8, 1))
    x = blocks.normalize(image, 1 / 128, -1.0)
    x = blocks.conv_unit(x, 16, 3, name="stem")
    x = residual_block(x, 16, "block1")
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = residual_block(x, 16, "block2")
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(image, blocks.classifier(x, classes), name="digit_network")


seed_everything(1)
model = digit_network()
rows = read_network(model)
for row in rows:
    if row.kind == "Conv2D":
        print(f"{row.name}: {row.output}, {row.parameters:,} parameters, sees {row.field.size}")
print("{parameters:,} parameters, {multiplies:,} multiplies".format(**totals(rows)))

digits = load_digits()
images = (digits.images[..., None] * 255 / 16).astype(np.float32)  # (1797, 8, 8, 1)
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]
model.compile(
    keras.optimizers.Adam(0.01),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(images[train], digits.target[train], batch_size=64, epochs=20, verbose=0)
_, accuracy = model.evaluate(images[test], digits.target[test], batch_size=397, verbose=0)
print(f"{accuracy:.1%} of {len(test)} new digits are right")
