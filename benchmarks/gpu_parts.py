"""The parts of benchmarks/gpu.sh beside gpu.py: parity, a fine-tuning step, and a folder job.

    KERAS_BACKEND=jax python benchmarks/gpu_parts.py [--parts parity training job] [--small]
        [--device gpu|cpu]

Every embedded network must give on the device, compiled, what it gives on the processor op by op:
a status of 1 says that one does not. What lacks a library that this machine does not have is left
out and named. The figures are Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu import embedded_arrays, synthetic_images  # noqa: E402 - found only now
from cnnkit.architectures import builder  # noqa: E402
from cnnkit.runtime import (  # noqa: E402
    available_cpus,
    building_defaults,
    built_for_weights,
    compile,
    import_keras,
)

PARTS = ("parity", "training", "job")
# The largest difference, as a share of the largest number of the output. A GPU may multiply
# float32 with the 11 bits of TF32; bfloat16 has 8.
AGREEMENT = {"float32": 0.02, "bfloat16": 0.15}
LIBRARIES = {
    "PIL": "Pillow",
    "cv2": "OpenCV",
    "platformdirs": "platformdirs",
    "simplejpeg": "simplejpeg",
}


@dataclass(frozen=True)
class EmbeddedNetwork:
    """One network of an embedded model.

    Attributes:
        model: The model's name.
        part: The network's name, where the model has several; else "".
        spec: Its builder and arguments.
        size: Height and width of the model's images.
    """

    model: str
    part: str
    spec: dict[str, Any]
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{self.model}/{self.part}" if self.part else self.model

    def build(self, precision: str) -> Any:
        """Return the network with its weights."""
        arrays = embedded_arrays(self.model)
        prefix = f"{self.part}/" if self.part else ""
        with building_defaults(precision):
            build = builder(self.spec["builder"])
            network = built_for_weights(lambda: build(**arguments_of(self.spec)))
            for variable in network.weights:
                variable.assign(arrays[prefix + variable.path])
        return network

    def inputs(self, network: Any, count: int) -> list[np.ndarray]:
        """Return inputs of its shapes, float32: photos, or numbers of 0 to 1."""
        found = []
        for tensor in network.inputs:
            shape = [
                side or own for side, own in zip(tensor.shape[1:], (*self.size, 3), strict=False)
            ]
            if len(shape) == 3 and shape[-1] == 3:
                found.append(photos(count, *shape[:2]))
            else:
                found.append(np.random.default_rng(0).random((count, *shape), np.float32))
        return found


def photos(count: int, height: int, width: int) -> np.ndarray:
    """Return example photos, float32 (count, height, width, 3), as often as needed.

    What networks have not learned, such as colored patches, they answer far less exactly.
    """
    from PIL import Image

    found = []
    for path in itertools.islice(itertools.cycle(example_photos()), count):
        with Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB").resize((width, height)), np.float32))
    return np.stack(found)


def example_photos() -> list[Path]:
    """Return the files of the example photos."""
    return sorted((ROOT / "examples" / "images").glob("*.jpg"))


def can_read_images(*modules: str) -> bool:
    """Return whether the libraries of some modules are here; say which are not."""
    missing = [LIBRARIES[module] for module in modules if find_spec(module) is None]
    if missing:
        print(f"Not measured: without {', '.join(missing)} no image can be read here.")
    return not missing


def arguments_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a builder's arguments as a card has them, shapes as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in spec["arguments"].items()}


def embedded() -> Iterator[EmbeddedNetwork]:
    """Yield every embedded network."""
    for path in sorted((ROOT / "models").glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        size = (card["input"]["height"], card["input"]["width"])
        architecture = card["architecture"]
        parts = architecture.get("networks") or {"": architecture}
        for part, spec in parts.items():
            yield EmbeddedNetwork(path.parent.name, part if len(parts) > 1 else "", spec, size)


def outputs_of(network: Any, inputs: list[Any]) -> list[np.ndarray]:
    """Return a network's outputs, op by op where it is not compiled."""
    keras = import_keras()
    found = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(keras.ops.convert_to_numpy(one), np.float32) for one in leaves(found)]


def leaves(found: Any) -> list[Any]:
    """Return a network's outputs as a list."""
    if isinstance(found, dict):
        return [found[name] for name in sorted(found)]
    return list(found) if isinstance(found, list | tuple) else [found]


def compiled_outputs(network: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Return a network's outputs through the compiler."""
    keras = import_keras()
    run = compile(
        lambda *given: leaves(network(list(given) if len(given) > 1 else given[0], training=False))
    )
    given = [keras.ops.convert_to_tensor(one) for one in inputs]
    return [np.asarray(keras.ops.convert_to_numpy(one), np.float32) for one in run(*given)]


def difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest difference, as a share of the largest number of its output."""
    shares = [
        np.abs(a - b).max() / max(1e-6, np.abs(b).max())
        for a, b in zip(found, expected, strict=True)
    ]
    return float(np.max(shares))  # NaN stays NaN


def parity(device: str, small: bool) -> bool:
    """Print how near every network's outputs are to the processor's; return whether all are."""
    how = "op by op" if device == "cpu" else "compiled"
    print(f"\n### Parity of the embedded networks with the processor, {how} in float32\n")
    if not can_read_images("PIL"):
        return True
    print("| network | float32 | bfloat16 | seconds |\n|---|---|---|---|")
    # Nearly all of the time is the compiler's, which uses one thread or two. Each process takes
    # only the memory of the card that it needs.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    processes = max(1, min(4, available_cpus() // 4))
    agreed = True
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = [(one, pool.submit(apart_from_cpu, one, device, small)) for one in embedded()]
        for one, future in found:
            apart, seconds = future.result()
            agreed &= all(apart[precision] <= most for precision, most in AGREEMENT.items())
            figures = " | ".join(f"{value:.5f}" for value in apart.values())
            print(f"| {one.name} | {figures} | {seconds:.1f} |", flush=True)
    if not agreed:
        print(f"\nOne gives other answers; at most {AGREEMENT} may be.")
    return agreed


def apart_from_cpu(
    one: EmbeddedNetwork, device: str, small: bool
) -> tuple[dict[str, float], float]:
    """Return how far a network's outputs are from the processor's by precision, and seconds."""
    keras = import_keras()
    started = time.perf_counter()
    with keras.device("cpu:0"):
        network = one.build("float32")
        inputs = one.inputs(network, 1 if small else 4)
        # Op by op, JAX compiles each operation: that takes minutes for all networks.
        reference = outputs_of if device == "cpu" else compiled_outputs
        expected = reference(network, inputs)
    apart = {}
    for precision in AGREEMENT:
        with keras.device(f"{device}:0"):
            apart[precision] = difference(compiled_outputs(one.build(precision), inputs), expected)
    return apart, time.perf_counter() - started


def training(device: str, small: bool) -> bool:
    """Print what a step of fine-tuning takes with and without the compiler."""
    name, count, steps = ("squeezenet-1.1", 2, 1) if small else ("efficientnet-lite0", 64, 20)
    one = next(found for found in embedded() if found.model == name)
    images = synthetic_images(count, *one.size).astype(np.float32)
    print(f"\n### A step of fine-tuning {name}, {count} images\n")
    print("| how | precision | images/s | first step, s | its loss |")
    print("|---|---|---|---|---|")
    compiled = (("compiled", "float32", steps), ("compiled", "bfloat16", steps))
    for way, precision, repeated in (compiled[0], ("op by op", "float32", 1), compiled[1]):
        began = time.perf_counter()
        loss, seconds = fine_tuning(one, precision, images, repeated, device, way == "compiled")
        first = time.perf_counter() - began - repeated * seconds
        figures = f"{count / seconds:,.1f} | {first:.0f} | {loss:.4f}"
        print(f"| {way} | {precision} | {figures} |", flush=True)
    return True


def fine_tuning(
    one: EmbeddedNetwork,
    precision: str,
    images: np.ndarray,
    steps: int,
    device: str,
    with_xla: bool,
) -> tuple[float, float]:
    """Return the loss of the first step and the median seconds of those after it."""
    keras = import_keras()
    labels = np.arange(len(images)) % 10
    with keras.device(f"{device}:0"):
        keras.utils.set_random_seed(0)
        network = one.build(precision)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for layer in network.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        network.compile(
            keras.optimizers.Adam(1e-4), loss, jit_compile=with_xla, run_eagerly=not with_xla
        )
        first = float(network.train_on_batch(images, labels))
        seconds = []
        for _ in range(steps):
            began = time.perf_counter()
            network.train_on_batch(images, labels)  # gives a number: waits for the device
            seconds.append(time.perf_counter() - began)
    return first, statistics.median(seconds)


def job(device: str, small: bool) -> bool:
    """Print images/s from files to rows and the decoder's share of the time."""
    print("\n### Files to rows: a folder of photos of 440 pixels, startup left out\n")
    if not can_read_images(*LIBRARIES):
        return True
    from cnnkit.classification import Classifier, classify_folders
    from cnnkit.detection import Detector
    from cnnkit.detection.folders import detect_folders

    lite, count, batch = ("efficientnet-lite0", 4096, None)
    if small:
        lite, count, batch = "squeezenet-1.1", 8, 2
    jobs = (
        ("classify", classify_folders, Classifier, lite, "float32"),
        ("classify", classify_folders, Classifier, lite, "bfloat16"),
        ("detect", detect_folders, Detector, "nanodet-g", "bfloat16"),
    )
    print("| job | precision | images/s | reading alone, images/s | its share of the time |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_to_read(Path(temporary, "images"), count)
        for name, run, loads, model, precision in jobs:
            tool = loads.load(
                model, device=device, runtime="xla", precision=precision, batch_size=batch
            )
            rate, reading = rate_of_job(run, tool, folder), rates_of_reading(tool.spec, folder)
            shown = "; ".join(f"{threads} threads: {one:,.0f}" for threads, one in reading.items())
            figures = f"{rate:,.0f} | {shown} | {rate / max(reading.values()):.0%}"
            print(f"| {name} {model} | {precision} | {figures} |", flush=True)
    return True


def photos_to_read(folder: Path, count: int) -> Path:
    """Make a folder of that many links to a few photos, and return it."""
    from PIL import Image

    folder.mkdir()
    originals = example_photos()
    for number, photo in enumerate(originals):
        with Image.open(photo) as image:
            image.convert("RGB").resize((440, 440)).save(folder / f"{number}.jpg", quality=90)
    for number in range(len(originals), count):
        os.link(folder / f"{number % len(originals)}.jpg", folder / f"{number}.jpg")
    return folder


def rate_of_job(run: Callable[..., Any], tool: Any, folder: Path) -> float:
    """Return images/s of the second of two runs: the first one compiles."""
    from cnnkit.folder_job import Outputs
    from cnnkit.images import Finder

    rows = folder.parent / "rows.jsonl"
    for _ in range(2):
        began = time.perf_counter()
        run(tool, Finder([str(folder)]), Outputs(rows=rows, overwrite=True), options={})
        seconds = time.perf_counter() - began
    made = rows.read_text(encoding="utf-8").splitlines()
    assert all(json.loads(row)["status"] == "ok" for row in made), "a row is no answer"
    return len(made) / seconds


def rates_of_reading(spec: Any, folder: Path) -> dict[int, float]:
    """Return how many files a second are read by one thread and by more of them."""
    from cnnkit.images import prepare

    files, every, found = sorted(map(str, folder.iterdir())), available_cpus(), {}
    for threads in sorted({1, max(1, every // 4), every}):
        some = files[: max(8, len(files) * threads // every // 4)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda file: prepare(file, spec), some[:8]))
            began = time.perf_counter()
            list(pool.map(lambda file: prepare(file, spec), some))
            found[threads] = len(some) / (time.perf_counter() - began)
    return found


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--small", action="store_true", help="to see that it runs")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    measures = {"parity": parity, "training": training, "job": job}
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as folder:
        os.environ.setdefault("CNNKIT_CACHE", folder)
        done = [measures[part](chosen.device, chosen.small) for part in chosen.parts]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
