"""Paint one image in the style of another, and write down how the losses fell.

python examples/stylize_image.py [PHOTO STYLE RESULT.png]
"""

import sys
from pathlib import Path

from cnnkit.images import decode
from cnnkit.style.features import open_loss_network
from cnnkit.style.images import encoded, result_size
from cnnkit.style.optimization import Optimization
from cnnkit.style.settings import Settings
from cnnkit.style.steps import Steps
from cnnkit.style.targets import Style, StyleTarget

images = Path(__file__).parent / "images"
photo, style, result = sys.argv[1:] or [images / "cat.jpg", images / "coffee.jpg", None]
content = decode(Path(photo).read_bytes())
settings = Settings(size=512, steps=400) if result else Settings(size=128, steps=12)

steps = Steps(open_loss_network("squeezenet-1.1"))
target = StyleTarget(steps, [Style(str(style), decode(Path(style).read_bytes()))], 1.0)
size = result_size(*content.shape[:2], settings.size)
optimization = Optimization(steps, content, size, target, settings)


def watch(progress):
    """Say how far it is."""
    if progress.step in (1, settings.steps) or progress.step % 50 == 0:
        print(
            f"step {progress.step}: content {progress.content:.3f}, style {progress.style:.4f}, "
            f"{progress.size[1]} x {progress.size[0]}"
        )


pixels = optimization.run(watch)
if result:
    data = encoded(pixels.round().astype("uint8"), None, Path(result).suffix)
    Path(result).write_bytes(data)
print(f"painted {Path(photo).name} like {Path(style).name}: {pixels.shape[1]} x {pixels.shape[0]}")
