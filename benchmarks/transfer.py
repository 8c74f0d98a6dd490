"""Measures ``cnnkit transfer-learn`` on a folder of photos: how right it is, and how fast.

    python benchmarks/transfer.py [--data FOLDER] [--rounds 3] [--folds 5]

Accuracy: every fold is a test split that nothing is chosen by; the rest is divided into
training and validation by default settings. Speed: the whole command on EfficientNet-Lite0, from
its start to the finished bundle and report, against PyTorch training a linear head on the same
frozen weights the usual way, with a forward pass every epoch; both in turns, the median counts.
DATA has one folder for each class; by default the photos of cats and dogs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from photos import add_data

HERE = Path(__file__).parent
EPOCHS = 5


def run(command: list[str], **environment: str) -> float:
    """Return the wall-clock seconds of a command, and stop with its message if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def cnnkit(*arguments: str, cache: Path) -> float:
    """Return the seconds of ``cnnkit transfer-learn``."""
    command = [sys.executable, "-m", "cnnkit", "transfer-learn", *arguments]
    return run(command, CNNKIT_CACHE=str(cache))


def labeled(data: Path) -> list[tuple[str, str]]:
    """Return the images with their classes."""
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    found = [
        (str(path), folder.name)
        for folder in sorted(data.iterdir())
        if folder.is_dir()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in suffixes
    ]
    if not found:
        sys.exit(f"--data must hold a folder of images for each class. Received: {data}.")
    return found


def measure_accuracy(data: Path, scratch: Path, folds: int) -> list[dict[str, float]]:
    """Return the test metrics of each fold, with the calibration error before and after."""
    images = labeled(data)
    names = np.array([name for _, name in images])
    fold = np.empty(len(images), int)
    for name in np.unique(names):  # every fold has its share of every class
        members = np.random.default_rng(0).permutation(np.flatnonzero(names == name))
        fold[members] = np.arange(len(members)) % folds
    results = []
    for number in range(folds):
        table = scratch / f"fold-{number}.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "label", "split"])
            for (path, name), own in zip(images, fold, strict=True):
                writer.writerow([path, name, "test" if own == number else ""])
        bundle = scratch / f"fold-{number}"
        cnnkit(str(table), "-o", str(bundle), "-q", cache=scratch / "cache")
        record = json.loads((bundle / "card.json").read_text())["training"]
        results.append({**record["metrics"]["test"], **record["calibration"]})
        print(f"  fold {number}: {results[-1]['top_1']:.4f}", file=sys.stderr)
    return results


def measure_speed(data: Path, scratch: Path, rounds: int, peer: str) -> dict[str, list[float]]:
    """Return the seconds of each contestant in each round; cnnkit with nothing kept, and warm."""
    seconds: dict[str, list[float]] = {"cnnkit": [], "cnnkit again": [], "PyTorch": []}
    for number in range(rounds):
        # The compiled network is kept, as after any earlier use; the features are not.
        for file in (scratch / "cache" / "features").glob("*"):
            file.unlink()
        for name in ("cnnkit", "cnnkit again"):
            bundle = scratch / f"{name}-{number}"
            arguments = (str(data), "-o", str(bundle), "--backbone", "efficientnet-lite0")
            seconds[name].append(cnnkit(*arguments, cache=scratch / "cache"))
        script = str(HERE / "transfer_pytorch.py")
        seconds["PyTorch"].append(run([peer, script, str(data), str(EPOCHS)]))
        print("  " + ", ".join(f"{k} {v[-1]:.1f} s" for k, v in seconds.items()), file=sys.stderr)
    return seconds


def main() -> None:
    """Measure everything and print it as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser, "catdog")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with PyTorch")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        scratch = Path(temporary)
        data = chosen.data.resolve()
        folds = measure_accuracy(data, scratch, chosen.folds)
        seconds = measure_speed(data, scratch, chosen.rounds, chosen.peer_python)
    report(len(labeled(data)), folds, seconds)


def report(images: int, folds: list[dict[str, float]], seconds: dict[str, list[float]]) -> None:
    """Print the figures."""
    accuracy = [fold["top_1"] for fold in folds]
    print(f"{images} images, {len(os.sched_getaffinity(0))} processors\n")
    print(f"Accuracy on {len(folds)} test folds: mean {statistics.mean(accuracy):.4f} ", end="")
    print(f"({', '.join(f'{value:.4f}' for value in accuracy)}).")
    on_test = statistics.mean(fold["expected_calibration_error"] for fold in folds)
    before, after = (
        statistics.mean(fold[name] for fold in folds) for name in ("error_before", "error_after")
    )
    print(f"Calibration error on validation {before:.4f} before and {after:.4f} after the ", end="")
    print(f"temperature; on the test folds {on_test:.4f}.\n")
    print("| start to finished model | seconds | cnnkit is |\n|---|---|---|")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"| {name} | {median:.1f} | {median / medians['cnnkit']:.1f} times |")


if __name__ == "__main__":
    main()
