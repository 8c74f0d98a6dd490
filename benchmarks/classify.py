"""Measures ``cnnkit classify`` against the usual scripts, side by side in one run.

    python benchmarks/classify.py [--data FOLDER] [--files 2000] [--rounds 3] [--rates-only]

Every contestant has the same weights and the same files, and writes five guesses a file as
JSON Lines. They take turns; the median of the rounds counts, and what is reported first are
ratios. The data is ImageNet photos; any folder of JPEG files serves for speed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from classify_contestants import contestants_here  # noqa: E402 - the script's own neighbor
from photos import add_data  # noqa: E402

MEMORY_PROBE = """
import resource, sys
from cnnkit.cli import main
sys.argv[0] = "cnnkit"
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def python(*arguments: str, **named) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, and stop with its message if it fails."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **named
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]}\n{done.stderr[-2000:]}")
    return done


def repeated(source: Path, folder: Path, count: int) -> Path:
    """Fill a folder with `count` files, the source's over and over."""
    originals = sorted(path for path in source.rglob("*") if path.suffix.lower() == ".jpg")
    if not originals:
        sys.exit(f"--data must hold .jpg files. Received: {source}.")
    folder.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        shutil.copy(original, folder / f"{number:06d}.jpg")
    return folder


def timed(command: list[str]) -> float:
    """Return the wall-clock seconds of a command."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def measure_throughput(folder: Path, scratch: Path, rounds: int) -> dict[str, float]:
    """Return each contestant's images/s, the median of the rounds."""
    rates: dict[str, list[float]] = {name: [] for name in contestants_here()}
    for _ in range(rounds):
        for name in rates:
            script = str(HERE / "classify_contestants.py")
            done = python(script, name, str(folder), str(scratch / "out.jsonl"))
            result = json.loads(done.stdout.splitlines()[-1])
            rates[name].append(result["rows"] / result["seconds"])
            print(f"  {name}: {rates[name][-1]:.0f}/s", file=sys.stderr)
    return {name: statistics.median(values) for name, values in rates.items()}


def measure_parts(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return the rates of decoding alone and of predicting alone, by cnnkit's precisions."""
    script = str(HERE / "classify_contestants.py")
    found = [
        json.loads(python(script, "parts", str(folder), "-").stdout.splitlines()[-1])
        for _ in range(rounds)
    ]
    return {
        name: {part: statistics.median(one[name][part] for one in found) for part in parts}
        for name, parts in found[0].items()
    }


def peak_memory(folder: Path, scratch: Path) -> float:
    """Return the peak resident memory in MB of ``cnnkit classify`` on a folder."""
    out = str(scratch / "rows.jsonl")
    command = ["classify", str(folder), "-o", out, "--overwrite", "-q"]
    done = python("-c", MEMORY_PROBE, *command)
    return int(done.stderr.split()[-1]) / 1024


def measure_starts(folder: Path) -> dict[str, float]:
    """Return the median seconds of five starts of each command, taken in turns."""
    one = str(sorted(folder.iterdir())[0])
    cnnkit = str(Path(sys.executable).parent / "cnnkit")
    commands = {
        "cnnkit --help": [cnnkit, "--help"],
        "import click": [sys.executable, "-c", "import click"],
        "cnnkit classify one.jpg": [cnnkit, "classify", one],
        "import tensorflow": [sys.executable, "-c", "import tensorflow"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(6):
        for name, command in commands.items():
            times[name].append(timed(command))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    """Measure everything and print it as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser, "imagenet200", "images")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates-only", action="store_true", help="neither starts nor memory")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        scratch = Path(temporary)
        repeated(chosen.data, scratch / "few", 32)
        folder = repeated(chosen.data, scratch / "files", chosen.files)
        rates = measure_throughput(folder, scratch, chosen.rounds)
        parts = measure_parts(folder, chosen.rounds)
        report_rates(rates, parts, chosen.files)
        if chosen.rates_only:
            return
        starts = measure_starts(folder)
        thousand = repeated(chosen.data, scratch / "thousand", 1000)
        memory = peak_memory(thousand, scratch)
        shutil.rmtree(thousand)
        shutil.rmtree(folder)
        memory_10 = peak_memory(repeated(chosen.data, scratch / "ten", 10_000), scratch)
    report_starts(starts, (memory, memory_10))


def report_rates(rates, parts, files) -> None:
    """Print the rates, and how near they are to their bound."""
    ours = rates["cnnkit"]
    print(f"{files} files, {len(os.sched_getaffinity(0))} processors, {platform.machine()}\n")
    print("| files to finished JSON Lines | images/s | cnnkit is |\n|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | {ours / rate:.2f} times |")
    print()
    for name, alone in parts.items():
        bound = 1 / sum(1 / rate for rate in alone.values())
        print(
            f"{name}: decoding alone {alone['decode']:.0f}/s, predicting alone "
            f"{alone['predict']:.0f}/s: bound {bound:.0f}/s, reached {rates[name] / bound:.0%}."
        )


def report_starts(starts, memory) -> None:
    """Print what starting takes, and the peaks of memory."""
    for name, against in (
        ("cnnkit --help", "import click"),
        ("cnnkit classify one.jpg", "import tensorflow"),
    ):
        ratio = starts[name] / starts[against]
        print(f"`{name}`: {starts[name]:.3f} s, {ratio:.2f} times `{against}`.")
    print(f"Peak memory: 1,000 files {memory[0]:.0f} MB, 10,000 files {memory[1]:.0f} MB.")


if __name__ == "__main__":
    main()
