"""Paint a photo in the style of another image: in one pass, then by optimization.

python examples/stylize_image.py [PHOTO STYLE RESULT.png]
"""

import sys
from pathlib import Path

import cnnkit

images = Path(__file__).parent / "images"
photo, style, result = sys.argv[1:] or [images / "cat.jpg", images / "coffee.jpg", None]

painted = cnnkit.Stylizer.load("magenta-style", styles=style, size=256).predict(photo)
print(f"in one pass: {painted.width} x {painted.height}")


def watch(position, progress):
    """Show how the losses fall."""
    if progress.step in (1, progress.steps) or progress.step % 50 == 0:
        losses = f"content {progress.content:.3f}, style {progress.style:.4f}"
        print(f"step {progress.step}: {losses}")


size, steps = (512, 400) if result else (128, 12)
stylizer = cnnkit.Stylizer.by_optimization(style, size=size, steps=steps, watch=watch)
painted = stylizer.predict(photo)
if result:
    painted.save(result)
print(f"painted {Path(photo).name} like {Path(style).name}: {painted.width} x {painted.height}")
