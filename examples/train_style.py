"""Train a network for one style, and paint a photo with it.

python examples/train_style.py [PHOTOS STYLE BUNDLE]

Without arguments it makes a few steps on the example pictures, which is nothing: a useful network
takes some hundred photos and a quarter of an hour.
"""

import sys
import tempfile
from pathlib import Path

from cnnkit.bundles import open_model
from cnnkit.images import decode
from cnnkit.style.one_pass import OnePassPainter
from cnnkit.style.training.learning import PainterSettings, learn_style

images = Path(__file__).parent / "images"
if len(sys.argv) > 1:
    photos, style, bundle = sys.argv[1:]
    settings = PainterSettings([photos], [style], Path(bundle))
else:
    folder = tempfile.TemporaryDirectory(prefix="cnnkit-")  # gone at the end
    bundle = Path(folder.name, "painter")
    few = {"steps": 5, "size": 64, "filters": 4}
    settings = PainterSettings([str(images)], [str(images / "coffee.jpg")], bundle, **few)


def watch(progress):
    """Say how far it is."""
    if progress.step in (1, progress.steps) or progress.step % 100 == 0:
        content, style, _ = progress.terms
        print(f"step {progress.step}: content {content:.3f}, style {style:.3f}")


trained = learn_style(settings, watch)
painter = OnePassPainter(open_model(str(trained.bundle)))
painted = painter.painted(decode((images / "cat.jpg").read_bytes()))
print(f"painted cat.jpg with {trained.bundle.name}: {painted.shape[1]} x {painted.shape[0]}")
