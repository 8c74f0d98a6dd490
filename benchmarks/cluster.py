"""Measures what a Ray cluster of one machine costs against the plain command.

    python benchmarks/cluster.py FOLDER [--images 8000] [--rounds 1]

FOLDER has photos; links to them make up the images. Each command is run on all of them and on a
single one, which shows what the start takes. Processor seconds are those of all processes, also of
Ray's own. The goal: at most 1.3 times the processor seconds of the plain command for all images.
The rows must be equal. Status 1 if not. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
GOAL = 1.3
# Of prctl: processes whose parent has ended become children of this one, so that they count.
SET_CHILD_SUBREAPER = 36
ENGINES: dict[str, list[str]] = {"plain": [], "ray": ["--engine", "ray"]}


class Cost(NamedTuple):
    """What a command took.

    Attributes:
        wall: Seconds on the clock.
        processor: Seconds of processors, of all its processes.
    """

    wall: float
    processor: float


def used() -> float:
    """Return the processor seconds of all processes that have ended below this one."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def run(images: Path, output: Path, engine: str) -> Cost:
    """Run the command, and wait for everything that it started."""
    before, began = used(), time.monotonic()
    command = [sys.executable, "-m", "cnnkit", "classify", str(images), "-q", "-o", str(output)]
    finished = subprocess.run([*command, *ENGINES[engine]], cwd=ROOT, check=False)
    wall = time.monotonic() - began
    if finished.returncode not in (0, 1):
        sys.exit(f"{engine} failed with {finished.returncode}")
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return Cost(wall, used() - before)


def write_links(photos: list[Path], folder: Path, count: int) -> Path:
    """Make a folder of links to the photos, in turn."""
    folder.mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        (folder / f"{number:06d}{photo.suffix.lower()}").symlink_to(photo)
    return folder


def main() -> None:
    """Run all commands in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    suffixes = (".jpg", ".jpeg", ".png")
    photos = sorted(p.resolve() for p in given.photos.rglob("*") if p.suffix.lower() in suffixes)
    ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    costs: dict[tuple[str, int], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        one = write_links(photos, top / "one", 1)
        run(one, top / "warm.jsonl", "plain")  # compiles the model
        for folder in (one, write_links(photos, top / "all", given.images)):
            count = len(os.listdir(folder))
            for number in range(given.rounds):
                for engine in ENGINES:
                    output = top / f"{folder.name}-{engine}-{number}.jsonl"
                    costs.setdefault((engine, count), []).append(run(folder, output, engine))
                rows = [(top / f"{folder.name}-{e}-{number}.jsonl").read_bytes() for e in ENGINES]
                if rows[0] != rows[1]:
                    sys.exit(f"The rows of {folder.name} differ.")
    print("| images | command | wall s | processor s |\n|---|---|---|---|")
    medians = {}
    for (engine, count), found in costs.items():
        wall = statistics.median(cost.wall for cost in found)
        medians[engine, count] = statistics.median(cost.processor for cost in found)
        print(f"| {count:,} | {engine} | {wall:.1f} | {medians[engine, count]:.1f} |")
    ratio = medians["ray", given.images] / medians["plain", given.images]
    print(f"\nray: {ratio:.2f} times the processor seconds of plain; the goal is {GOAL}")
    sys.exit(ratio > GOAL)


if __name__ == "__main__":
    main()
