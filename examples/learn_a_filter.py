"""Learn Sobel's filter from a photo and what the filter made of it, by backpropagation.

python examples/learn_a_filter.py [IMAGE]
"""

import sys
import tempfile
from pathlib import Path

import cnnkit

photo = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images" / "cat.jpg"
with tempfile.TemporaryDirectory() as folder:
    edges = Path(folder, "edges.npy")
    cnnkit.convolve(photo, edges, kernel="sobel-x")
    learned = cnnkit.learn_filter((photo, edges), kernel_size="3x3")

for step in learned.steps[:: max(1, len(learned.steps) // 8)]:
    print(f"step {step.number}: loss {step.loss:.3g}")
for row in learned.kernel[..., 0].round(2):
    print(*row)
