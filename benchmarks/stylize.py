"""Measures ``cnnkit stylize``: steps against PyTorch, finished images, memory, resuming.

    python benchmarks/stylize.py --content PHOTO --style IMAGE [--parts step,finished,...]

step: the same network (SqueezeNet, average pooling), losses, start and Adam steps by cnnkit and by
PyTorch (float32, channels_last), in turns, each in a process of its own; the median step, and how
far the losses are apart after the same steps. finished: the whole command with its default
settings. memory: the peak of the process against what its first line says. resume: killed at five
moments and gone on with, against an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PARTS = ("step", "finished", "memory", "resume")


def write_problem(path: Path, content: Path, style: Path, size: int, steps: int) -> None:
    """Write what both contestants get."""
    from safetensors.numpy import load_file

    from cnnkit.bundles import embedded_folder
    from cnnkit.images import decode
    from cnnkit.runtime import available_cpus
    from cnnkit.style.canvas import BORDER, SHIFT, resized
    from cnnkit.style.features import RECIPES
    from cnnkit.style.optimization import RATE
    from cnnkit.style.settings import OptimizationSettings, fitted_size

    recipe, settings = RECIPES["squeezenet-1.1"], OptimizationSettings()
    total = settings.alpha + settings.beta
    facts = {
        "content": dict(recipe.content),
        "style": dict(recipe.style),
        "border": BORDER,
        "shift": SHIFT,
        "weights": [settings.alpha / total, settings.beta / total, settings.variation],
        "rate": RATE,
        "steps": steps,
        "threads": available_cpus(),
    }
    arrays = {}
    for name, file in (("content", content), ("style_pixels", style)):
        pixels = decode(file.read_bytes())
        arrays[name] = resized(pixels, *fitted_size(*pixels.shape[:2], size))
    weights = load_file(embedded_folder("squeezenet-1.1") / "weights.safetensors")
    arrays |= {f"w:{name}": value.astype(np.float32) for name, value in weights.items()}
    np.savez(path, facts=json.dumps(facts), **arrays)


def make_steps(path: Path) -> None:
    """Make cnnkit's steps and print what stylize_pytorch.py prints."""
    from cnnkit.style.features import open_loss_network
    from cnnkit.style.gradients import WholeGradient
    from cnnkit.style.optimization import adam_step
    from cnnkit.style.state import OptimizationState
    from cnnkit.style.steps import Steps
    from cnnkit.style.targets import image_grams

    problem = np.load(path, allow_pickle=False)
    facts = json.loads(str(problem["facts"]))
    steps = Steps(open_loss_network())
    content = problem["content"].astype(np.float32)
    style = image_grams(steps, problem["style_pixels"].astype(np.float32))
    weights = np.array(facts["weights"], np.float32)
    gradient_of = WholeGradient(steps, content, style, None, weights, None)
    state = OptimizationState.starting_from(content)
    seconds, curve = [], []
    for _ in range(facts["steps"]):
        started = time.perf_counter()
        gradient, terms = gradient_of(state.pixels, None)
        adam_step(state, gradient, facts["rate"])
        seconds.append(time.perf_counter() - started)
        curve.append([float(term) for term in terms])
    print(json.dumps({"seconds": seconds, "curve": curve}))


def measure_steps(content: Path, style: Path, size: int, steps: int, rounds: int) -> None:
    """Compare the steps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        write_problem(path, content, style, size, steps)
        commands = {
            "cnnkit": [sys.executable, __file__, "--make-steps", str(path)],
            "PyTorch": [sys.executable, str(HERE / "stylize_pytorch.py"), str(path)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        curves = {}
        for _ in range(rounds):
            for name, command in commands.items():
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{name}: {done.stderr[-2000:]}")
                found = json.loads(done.stdout.splitlines()[-1])
                # The first steps compile and fill caches.
                times[name].append(statistics.median(found["seconds"][3:]))
                curves[name] = np.array(found["curve"])
    ours, theirs = (statistics.median(times[name]) for name in ("cnnkit", "PyTorch"))
    print(f"a step at {size} pixels: cnnkit {ours:.4f} s, PyTorch {theirs:.4f} s: ", end="")
    print(f"{theirs / ours:.2f} times as fast")
    first = np.abs(curves["cnnkit"][0] / np.maximum(curves["PyTorch"][0], 1e-12) - 1)
    print(f"terms of the first step apart by {first[1:].max():.2e} (content is 0 there)")
    weights = np.array([0.2, 0.8, 2.5])
    ends = {name: float(curve[-1] @ weights) for name, curve in curves.items()}
    apart = abs(ends["cnnkit"] / ends["PyTorch"] - 1)
    print(f"loss after {steps} steps: cnnkit {ends['cnnkit']:.5f}, PyTorch ", end="")
    print(f"{ends['PyTorch']:.5f}, {apart:.2%} apart")


def stylize(*arguments: object) -> tuple[float, int, str]:
    """Return the seconds, the peak of memory in bytes, and the messages of the command."""
    command = [sys.executable, "-m", "cnnkit", "stylize", *map(str, arguments)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        messages.seek(0)
        text = messages.read()
    if os.waitstatus_to_exitcode(status):
        sys.exit(text)
    return seconds, usage.ru_maxrss * 1024, text


def measure_finished(content: Path, style: Path, rounds: int) -> None:
    """Time the whole command with its default settings."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.png"
        times = [
            stylize(content, "--style", style, "-o", output, "--overwrite")[0]
            for _ in range(rounds)
        ]
    print(f"a finished image of 512 pixels: {statistics.median(times):.1f} s")


def measure_memory(content: Path, style: Path, network: list[str]) -> None:
    """Compare the peak of memory with the preflight's line."""
    for size, extra in ((512, []), (1024, []), (1024, ["--tile", "512"])):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "result.png"
            arguments = [content, "--style", style, "-o", output, "--size", size, "--steps", 35]
            _, peak, text = stylize(*arguments, *extra, *network)
        said = float(re.search(r"about ([\d.]+) GB of memory", text)[1])
        print(f"{size} pixels {' '.join(extra)}: said {said:.1f} GB, ", end="")
        print(f"peak {peak / 1e9:.2f} GB, {said * 1e9 / peak - 1:+.0%}")


def measure_resume(content: Path, style: Path, size: int) -> None:
    """Kill the command at five moments, go on, and compare with an undisturbed run."""
    from PIL import Image

    arguments = [content, "--style", style, "--size", size, "--steps", 500]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.png"
        seconds, _, _ = stylize(*arguments, "-o", whole)
        expected = np.asarray(Image.open(whole), np.int16)
        for share in (0.35, 0.5, 0.65, 0.8, 0.95):
            output = Path(folder) / f"{share}.png"
            command = [sys.executable, "-m", "cnnkit", "stylize", *arguments, "-o", output]
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                process.wait(seconds * share)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            _, _, text = stylize(*arguments, "-o", output, "--resume")
            found = np.asarray(Image.open(output), np.int16)
            went_on = re.search(r"going on after step (\d+)", text)
            print(f"killed after {share:.0%} of the time: ", end="")
            print(f"went on after step {went_on[1] if went_on else 'none'}, ", end="")
            print(f"{np.abs(found - expected).mean():.3f} levels apart on average")


def main() -> None:
    """Measure what is asked for."""
    if sys.argv[1:2] == ["--make-steps"]:
        make_steps(Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    images = HERE.parent / "examples" / "images"
    parser.add_argument("--content", type=Path, default=images / "cat.jpg")
    parser.add_argument("--style", type=Path, default=images / "coffee.jpg")
    parser.add_argument("--size", type=int, default=512, help="of the steps")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resume-size", type=int, default=384, help="of the resumed images")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--network", nargs="*", default=[], help="such as --network NAME for memory"
    )
    given = parser.parse_args()
    parts = given.parts.split(",")
    if "step" in parts:
        measure_steps(given.content, given.style, given.size, given.steps, given.rounds)
    if "finished" in parts:
        measure_finished(given.content, given.style, given.rounds)
    if "memory" in parts:
        measure_memory(given.content, given.style, given.network)
    if "resume" in parts:
        measure_resume(given.content, given.style, given.resume_size)


if __name__ == "__main__":
    main()
