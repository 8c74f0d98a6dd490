"""Find the objects in the images of a folder, and count them.

python examples/detect_objects.py [FOLDER]
"""

import sys
from collections import Counter
from pathlib import Path

import cnnkit

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
files = sorted(str(path) for path in folder.glob("*.jpg"))

detector = cnnkit.Detector.load("nanodet-g")
total: Counter[str] = Counter()
for file, result in zip(files, detector.predict(files), strict=True):
    if isinstance(result, cnnkit.Failure):
        print(f"{Path(file).name}: {result.message}")
        continue
    for one in result:
        left, top, width, height = one.box
        place = f"{width:.0f} x {height:.0f} pixels at {left:.0f}, {top:.0f}"
        print(f"{Path(file).name}: {one.label} ({one.score:.0%}), {place}")
    total.update(result.labels)
print("in all:", ", ".join(f"{count} {label}" for label, count in total.most_common()))
