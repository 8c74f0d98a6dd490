"""Measures ``cnnkit explain`` against the usual libraries, and ``cnnkit visualize patches``.

    python benchmarks/explain.py [--data FOLDER] [--files 400] [--patches 5000] [--rounds 2]
                                 [--peers PYTHON]

Grad-CAM: the contestants take turns on the same photos with the same network; the median of the
rounds counts. Patches: SqueezeNet's 512 fire9 units over many photos, against classifying the same
photos with the same network, by turns. The libraries that are compared with may live in another
environment: --peers names its Python, in which cnnkit must be importable too.
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
from classify import MEMORY_PROBE, repeated  # noqa: E402 - the script's own neighbor
from explain_contestants import CONTESTANTS  # noqa: E402
from photos import add_data  # noqa: E402

OURS = ("cnnkit", "cnnkit, float32")


def checked(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that can import cnnkit, and stop with its message if it fails."""
    found = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=found)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]}\n{done.stderr[-2000:]}")
    return done


def measure_grad_cam(folder: Path, scratch: Path, rounds: int, peers: str) -> dict[str, float]:
    """Return each contestant's images/s, the median of the rounds."""
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name in CONTESTANTS:
            out = scratch / "out"
            shutil.rmtree(out, ignore_errors=True)
            python = sys.executable if name in OURS else peers
            script = str(HERE / "explain_contestants.py")
            done = checked([python, script, name, str(folder), str(out)])
            result = json.loads(done.stdout.splitlines()[-1])
            rates[name].append(result["pictures"] / result["seconds"])
            print(f"  {name}: {rates[name][-1]:.1f}/s", file=sys.stderr)
    return {name: statistics.median(values) for name, values in rates.items()}


def run_cnnkit(*arguments: str) -> tuple[float, float]:
    """Run the command in a process of its own; return its seconds and its peak memory in MB."""
    started = time.perf_counter()
    done = checked([sys.executable, "-c", MEMORY_PROBE, *arguments])
    return time.perf_counter() - started, int(done.stderr.split()[-1]) / 1024


def measure_patches(folder: Path, scratch: Path, rounds: int) -> dict[str, list[float]]:
    """Return seconds and peak memory of classifying and of searching for patches, by turns."""
    model = ["--model", "squeezenet-1.1", "-q"]
    commands = {
        "classify": ["classify", str(folder), *model, "-o", str(scratch / "rows.jsonl")],
        "classify, float32": [
            *("classify", str(folder), *model, "--precision", "float32"),
            *("-o", str(scratch / "rows32.jsonl")),
        ],
        "patches": [
            *("visualize", "patches", str(folder), *model, "--layer", "fire9_join"),
            *("-o", str(scratch / "patches.csv"), "--sheets", str(scratch / "sheets")),
        ],
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds, memory[name] = run_cnnkit(*command, "--overwrite")
            found[name].append(seconds)
            print(f"  {name}: {seconds:.1f} s, {memory[name]:.0f} MB", file=sys.stderr)
    return {name: [statistics.median(values), memory[name]] for name, values in found.items()}


def main() -> None:
    """Measure everything and print it as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser, "imagenet200", "images")
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--patches", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", default=sys.executable)
    chosen = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} processors, {platform.machine()}\n")
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        scratch = Path(temporary)
        if chosen.files:
            folder = repeated(chosen.data, scratch / "few", chosen.files)
            rates = measure_grad_cam(folder, scratch, chosen.rounds, chosen.peers)
            report_grad_cam(rates, chosen.files)
        if chosen.patches:
            folder = repeated(chosen.data, scratch / "many", chosen.patches)
            run_cnnkit(
                "classify", str(scratch / "many" / "000000.jpg"), "--model", "squeezenet-1.1"
            )
            report_patches(measure_patches(folder, scratch, chosen.rounds), chosen.patches)


def report_grad_cam(rates: dict[str, float], files: int) -> None:
    """Print the images a second of the contestants."""
    print(f"| {files} photos to overlays and maps | images/s | cnnkit is |\n|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.1f} | {rates['cnnkit'] / rate:.2f} times |")


def report_patches(found: dict[str, list[float]], files: int) -> None:
    """Print what the search for patches takes beside classifying."""
    print(f"\n| {files} photos, SqueezeNet | images/s | peak memory |\n|---|---|---|")
    for name, (seconds, memory) in found.items():
        print(f"| {name} | {files / seconds:.0f} | {memory:.0f} MB |")
    for name in ("classify", "classify, float32"):
        share = found[name][0] / found["patches"][0]
        print(f"\nPatches reach {share:.2f} of the throughput of {name}.")


if __name__ == "__main__":
    main()
