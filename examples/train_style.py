"""Train a network for one style, and paint a photo with it.

python examples/train_style.py [PHOTOS STYLE BUNDLE]

Without arguments it makes a few steps on the example images, which is nothing: a useful network
takes some hundred photos and a quarter of an hour.
"""

import sys
import tempfile
from pathlib import Path

import cnnkit

images = Path(__file__).parent / "images"


def watch(progress):
    """Say how far it is."""
    if progress.step in (1, progress.steps) or progress.step % 100 == 0:
        content, style, _ = progress.terms
        print(f"step {progress.step}: content {content:.3f}, style {style:.3f}")


if len(sys.argv) > 1:
    photos, style, bundle = sys.argv[1:]
    model = cnnkit.train_style(photos, bundle, styles=style, progress=watch)
else:
    folder = tempfile.TemporaryDirectory(prefix="cnnkit-")  # gone at the end
    model = cnnkit.train_style(
        images,
        Path(folder.name, "painter"),
        styles=images / "coffee.jpg",
        steps=5,
        size=64,
        filters=4,
        progress=watch,
    )
painted = model.load().predict(images / "cat.jpg")
print(f"style loss {model.metrics['style_before']:.3f} before, {model.metrics['style']:.3f} after")
print(f"painted cat.jpg with {model.path.name}: {painted.width} x {painted.height}")
