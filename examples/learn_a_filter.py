"""Learn Sobel's filter from a photo and what the filter made of it, by backpropagation.

python examples/learn_a_filter.py [IMAGE]
"""

import sys
from pathlib import Path

import numpy as np

from cnnkit.images import decode, read_bytes
from cnnkit.lab.arithmetic import Window
from cnnkit.lab.convolution import learn_kernel, matrix_lines, read_kernel, slide
from cnnkit.lab.convolution.sliding import brightness

path = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent / "images" / "cat.jpg")
photo = brightness(decode(read_bytes(path)).astype(np.float64))  # (height, width, 1)
edges = slide(photo, read_kernel("sobel-x"), Window((3, 3)), "volume")

learned = learn_kernel(photo, edges, size=(3, 3))
for step in learned.steps[:: max(1, len(learned.steps) // 8)]:
    print(f"step {step.number}: loss {step.loss:.3g}")
print(*matrix_lines(learned.kernel[..., 0], decimals=2), sep="\n")
