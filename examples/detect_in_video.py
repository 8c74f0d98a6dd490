"""Find and follow objects in a video, here one made from a photo as if a camera moved over it."""

from collections import defaultdict
from pathlib import Path

import av
import numpy as np
from PIL import Image

import cnnkit

photo = Image.open(Path(__file__).parent / "images" / "photographer.jpg").convert("RGB")
pixels = np.asarray(photo.resize((400, 266)))
with av.open("moving.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=10)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for step in range(12):
        view = np.ascontiguousarray(pixels[:240, 66 - 6 * step : 386 - 6 * step])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
    container.mux(stream.encode())

seen = defaultdict(list)  # by the number of the object, where it was and when


def note(row):
    """Take in one frame, as soon as it is done."""
    for found in row.get("detections", ()):
        if found["track"] is not None:
            left, _, width, _ = found["box"]
            seen[found["track"], found["label"]].append((row["time"], left + width / 2))


cnnkit.detect("moving.mp4", track=True, annotate="drawn.mp4", emit=note)
for (track, label), places in seen.items():
    (start, first), (end, last) = places[0], places[-1]
    moved = f"moved {last - first:+.0f} pixels to the right"
    print(f"{label} {track}: {start:.1f} s to {end:.1f} s, {moved}")
