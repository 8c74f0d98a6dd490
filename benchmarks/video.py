"""Measures frames per second of a video through a model, against its parts and the usual loops.

    python benchmarks/video.py [--frames 150] [--rounds 3] [--model nanodet-g] [--kind detect]

The clip is made here: 1280 x 720, H.264, a key frame every 2 s, a camera that moves over a photo.
Everything runs in this process and takes turns; medians count, by the clock and by processor time.

- decode: all frames to RGB, by `cnnkit.video`.
- predict: the model on the same frames, decoded before; together with decode the least to expect.
- cnnkit: the frames streamed through the model, as ``cnnkit detect`` and ``cnnkit classify`` do.
- loop, cnnkit: `cv2.VideoCapture`, and `predict` of one frame at a time.
- loop, Keras: `cv2.VideoCapture`, `cv2.resize`, and `keras.Model.predict` of one frame at a time,
  without decoding boxes; the first 24 frames only, which take as long as all do otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import cnnkit  # noqa: E402 - the project is no installation
from cnnkit.video import frames  # noqa: E402

PHOTO = HERE.parent / "examples" / "images" / "photographer.jpg"
WIDTH, HEIGHT, RATE = 1280, 720, 30
KERAS_FRAMES = 24


def make_clip(path: Path, count: int) -> Path:
    """Encode a camera that moves over a photo."""
    photo = Image.open(PHOTO).convert("RGB").resize((WIDTH + 2 * count, HEIGHT + count))
    pixels = np.asarray(photo)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": str(2 * RATE)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for step in range(count):
            view = pixels[step : step + HEIGHT, 2 * step : 2 * step + WIDTH]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def captured(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames as OpenCV gives them, in RGB."""
    capture = cv2.VideoCapture(str(path))
    while True:
        good, frame = capture.read()
        if not good:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def contestants(kind: str, name: str, path: Path, decoded: list[np.ndarray]) -> dict[str, Any]:
    """Return what takes turns, by name."""
    load = cnnkit.Detector.load if kind == "detect" else cnnkit.Classifier.load
    model = load(name)
    network = cnnkit.load_keras(name)
    size = (model.spec.width, model.spec.height)
    model.predict(decoded[:8])  # the first calls are slower
    network.predict(np.zeros((1, *size[::-1], 3), np.float32), verbose=0)

    def decode() -> int:
        """Decode all frames."""
        return sum(np.asarray(one.path).shape[0] > 0 for one in frames(path))

    def predict() -> int:
        """Predict frames that are decoded already, a few dozen again and again."""
        return sum(1 for _ in model.predict(decoded))

    def stream() -> int:
        """Do both at once."""
        return sum(1 for _ in model.stream(frames(path)))

    def loop() -> int:
        """Call the model with one frame after the other."""
        return sum(model.predict(frame) is not None for frame in captured(path))

    def keras_loop() -> int:
        """Call Keras with one frame after the other."""
        count = 0
        for frame in itertools.islice(captured(path), KERAS_FRAMES):
            network.predict(cv2.resize(frame, size)[None].astype(np.float32), verbose=0)
            count += 1
        return count

    return {
        "decode": decode,
        "predict": predict,
        "cnnkit": stream,
        "loop, cnnkit": loop,
        "loop, Keras": keras_loop,
    }


def measured(work: Callable[[], int]) -> tuple[float, float]:
    """Return milliseconds per frame by the clock and of all processors."""
    clock, processor = time.perf_counter(), time.process_time()
    done = work()
    taken = time.perf_counter() - clock, time.process_time() - processor
    return 1000 * taken[0] / done, 1000 * taken[1] / done


def main() -> None:
    """Measure everything and print it as JSON, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=("detect", "classify"), default="detect")
    parser.add_argument("--model", default=None)
    chosen = parser.parse_args()
    name = chosen.model or {"detect": "nanodet-g", "classify": "efficientnet-lite0"}[chosen.kind]
    taken: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = make_clip(Path(scratch) / "clip.mp4", chosen.frames)
        few = [np.asarray(one.path) for one, _ in zip(frames(path), range(30), strict=False)]
        decoded = [few[place % len(few)] for place in range(chosen.frames)]
        works = contestants(chosen.kind, name, path, decoded)
        for _ in range(chosen.rounds):
            for what, work in works.items():
                taken.setdefault(what, []).append(measured(work))
    clocks = {what: statistics.median(one for one, _ in times) for what, times in taken.items()}
    spent = {what: statistics.median(one for _, one in times) for what, times in taken.items()}
    for what in clocks:
        report(what, clocks[what], spent[what])
    for kind, taking in (("clock", clocks), ("processor", spent)):
        ratios = {
            "of decode + predict": taking["cnnkit"] / (taking["decode"] + taking["predict"]),
            "times loop, cnnkit": taking["loop, cnnkit"] / taking["cnnkit"],
            "times loop, Keras": taking["loop, Keras"] / taking["cnnkit"],
        }
        print(json.dumps({"by": kind} | {what: round(one, 2) for what, one in ratios.items()}))


def report(what: str, clock: float, processor: float) -> None:
    """Print the figures of one."""
    found = {"frames/s": round(1000 / clock, 1), "processor ms": round(processor, 1)}
    print(json.dumps({"what": what} | found), flush=True)


if __name__ == "__main__":
    main()
