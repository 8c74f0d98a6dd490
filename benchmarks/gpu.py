"""Measures the embedded networks on a GPU: op by op against compiled, float32 against bfloat16.

    KERAS_BACKEND=jax python benchmarks/gpu.py
    KERAS_BACKEND=tensorflow python benchmarks/gpu.py --batch-sizes 64 256
    KERAS_BACKEND=jax python benchmarks/gpu.py --device cpu --quick

A checkout as it lies is enough: nothing of cnnkit need be installed. It takes numpy,
safetensors, keras and the one backend that KERAS_BACKEND names. The networks have their
embedded weights and run through the predictor that `--runtime xla` uses everywhere.

The figures are Markdown on standard output. The peak that the shares refer to is measured in
the same run, by large matrix products in the same backend and precision. Where an answer is
not that of float32 op by op, no figure counts: the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cnnkit import metrics  # noqa: E402 - found only now
from cnnkit.architectures import builder  # noqa: E402
from cnnkit.errors import CnnkitError  # noqa: E402
from cnnkit.runtime import (  # noqa: E402
    ModelSource,
    RuntimeOptions,
    available_cpus,
    building_defaults,
    built_for_weights,
    compile,
    import_keras,
    predictor,
)
from cnnkit.runtime.prediction import choose  # noqa: E402
from cnnkit.runtime.process import backend_name  # noqa: E402

NETWORKS = ("efficientnet-lite0", "efficientnet-lite3", "squeezenet-1.1")
PRECISIONS = ("float32", "bfloat16")
# The largest difference of a probability to float32 op by op. A GPU may multiply float32 with
# the 11 bits of TF32; bfloat16 has 8.
AGREEMENT = {"float32": 0.02, "bfloat16": 0.08}

OP_BY_OP = "op by op"
COMPILED = "compiled"
ON_DEVICE = "compiled, images on the device"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        batch_sizes: Images a call.
        rounds: How often each contestant has its turn.
        seconds: What one turn takes, about.
        sides: Of the matrix products that show the peak.
        quick: The figures mean nothing, and the report says so.
    """

    batch_sizes: tuple[int, ...]
    rounds: int
    seconds: float
    sides: tuple[int, ...]
    quick: bool = False


@dataclass
class Contestant:
    """One way to run one network in one precision.

    Attributes:
        way: `OP_BY_OP`, `COMPILED` or `ON_DEVICE`.
        run: Runs that many calls and returns the last one's scores, when all are done.
        first: Seconds that the first call took.
        difference: The largest difference of a probability to the first contestant's.
        rates: Images a second, one for each round.
    """

    way: str
    precision: str
    run: Callable[[int], np.ndarray]
    first: float = 0.0
    difference: float = 0.0
    calls: int = 1
    rates: list[float] | None = None


def embedded_arrays(name: str) -> dict[str, np.ndarray]:
    """Return the weights of an embedded model by name, float32.

    The bundle's own door needs Pillow and OpenCV as well, which a machine with a GPU may lack.
    """
    from safetensors.numpy import load_file

    arrays = load_file(ROOT / "models" / name / "weights.safetensors")
    # An 8-bit integer stands for a float; its scale lies beside it.
    return {
        key: value.astype(np.float32) * arrays.get(f"{key}:scale", np.float32(1))
        for key, value in arrays.items()
        if not key.endswith(":scale")
    }


def embedded_source(name: str) -> ModelSource:
    """Return an embedded network as `runtime.predictor` takes it."""
    card = json.loads((ROOT / "models" / name / "card.json").read_text(encoding="utf-8"))
    arrays = embedded_arrays(name)

    def build(precision: str) -> Any:
        with building_defaults(precision) as keras:
            architecture = card["architecture"]
            made = builder(architecture["builder"])
            network = built_for_weights(lambda: made(**architecture["arguments"]))
            for variable in network.weights:
                variable.assign(arrays[variable.path].astype(np.float32))
            return keras.Model(network.inputs[0], {"scores": network.outputs[0]}, name=network.name)

    shape = (card["input"]["height"], card["input"]["width"], 3)
    return ModelSource(name, card["weights"]["sha256"], shape, build)


def multiply_adds(model: Any) -> int:
    """Return the multiplications of one image in convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = layer.output.shape[1:-1]  # (height, width), or () of a dense layer
            total += math.prod(kernel.shape) * math.prod(places)
    return total


def synthetic_images(count: int, height: int, width: int) -> np.ndarray:
    """Return colored patches, uint8 (count, height, width, 3), the same ones every time."""
    cells = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    rows, columns = (np.arange(side) * 8 // side for side in (height, width))
    return np.ascontiguousarray(cells[:, rows][:, :, columns])


# --- the ways to run a network ------------------------------------------------------------


def op_by_op(source: ModelSource, precision: str, images: np.ndarray) -> Contestant:
    """The model called as it is: every operation starts on its own."""
    keras = import_keras()
    model = source.build(precision)

    def run(calls: int) -> np.ndarray:
        for _ in range(calls):
            pixels = keras.ops.convert_to_tensor(images, dtype="float32")
            scores = keras.ops.convert_to_numpy(model(pixels, training=False)["scores"])
        return scores

    return Contestant(OP_BY_OP, precision, run)


def compiled(
    source: ModelSource, precision: str, images: np.ndarray, device: str
) -> list[Contestant]:
    """The predictor from the host's memory and back, and what it compiled on the device alone."""
    keras = import_keras()
    options = RuntimeOptions(device=device, runtime="xla", precision=precision)
    by_xla = predictor(source, options, batch_size=len(images))
    resident = keras.ops.convert_to_tensor(images)

    def run(calls: int) -> np.ndarray:
        for _ in range(calls):
            scores = by_xla.predict(images)["scores"]
        return scores

    def run_on_device(calls: int) -> np.ndarray:
        for _ in range(calls):
            # The compiled function itself: compiling it a second time would take minutes.
            outputs = by_xla._call(resident)
        return np.asarray(outputs["scores"], np.float32)  # waits for the device

    return [Contestant(COMPILED, precision, run), Contestant(ON_DEVICE, precision, run_on_device)]


def contestants(
    source: ModelSource, images: np.ndarray, device: str, uncompiled: bool
) -> list[Contestant]:
    """Return every compiled way in every precision, after op by op in float32 if asked for.

    Op by op, JAX compiles each operation for each shape, which takes half a minute.
    """
    found = [op_by_op(source, "float32", images)] if uncompiled else []
    for precision in PRECISIONS:
        found += compiled(source, precision, images, device)
    return found


# --- measuring ----------------------------------------------------------------------------


def timed(run: Callable[[int], Any], calls: int) -> float:
    """Return the seconds of some calls."""
    started = time.perf_counter()
    run(calls)
    return time.perf_counter() - started


def calls_for(run: Callable[[int], Any], seconds: float) -> int:
    """Warm up, and return how many calls take about that long."""
    run(1)
    once = timed(run, 1)
    many = min(10_000, math.ceil(seconds / max(once, 1e-6)))
    return max(1, many)


def measure(group: list[Contestant], images: int, plan: Plan) -> None:
    """Fill in the contestants' figures; they take turns in every round."""
    expected = None
    for one in group:
        started = time.perf_counter()
        probabilities = metrics.softmax(one.run(1))
        one.first = time.perf_counter() - started
        expected = probabilities if expected is None else expected
        one.difference = float(np.abs(probabilities - expected).max())
        one.calls = calls_for(one.run, plan.seconds)
        one.rates = []
    for _ in range(plan.rounds):
        for one in group:
            one.rates.append(one.calls * images / timed(one.run, one.calls))


def peak(precision: str, plan: Plan) -> tuple[float, int]:
    """Return the operations a second of the best matrix product, and its side."""
    rates = {side: product_rate(precision, side, plan) for side in plan.sides}
    side = max(rates, key=lambda side: rates[side])
    return rates[side], side


def product_rate(precision: str, side: int, plan: Plan) -> float:
    """Return the operations a second of square matrix products, in the best of the rounds."""
    keras = import_keras()
    random = np.random.default_rng(0)
    left, right = (
        keras.ops.cast(random.standard_normal((side, side), np.float32), precision)
        for _ in range(2)
    )
    product = compile(lambda a, b: keras.ops.matmul(a, b))

    def run(calls: int) -> None:
        for _ in range(calls):
            result = product(left, right)
        keras.ops.convert_to_numpy(result[:1, :1])  # waits for the device

    calls = calls_for(run, plan.seconds)
    seconds = min(timed(run, calls) for _ in range(plan.rounds))
    return 2 * side**3 * calls / seconds


# --- the report ---------------------------------------------------------------------------


def device_in_words(device: str) -> str:
    """Return what the figures were measured on, as its own driver names it."""
    if device == "cpu":
        return f"{processor_name()}, {available_cpus()} processors (a CPU: no GPU was measured)"
    if backend_name() == "jax":
        import jax

        return jax.devices("gpu")[0].device_kind
    import tensorflow as tf

    first = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(first).get("device_name", first.name)


def processor_name() -> str:
    """Return the processor's name, as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def libraries() -> str:
    """Return the versions of what computes."""
    names = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}[backend_name()]
    found = [f"{name} {version(name)}" for name in ("keras", *names, "numpy")]
    return ", ".join([*found, f"Python {platform.python_version()}"])


def heading(device: str, peaks: dict[str, tuple[float, int]], plan: Plan) -> list[str]:
    """Return what stands above the tables."""
    lines = [
        f"Backend {backend_name()} ({libraries()}).",
        f"Device: {device_in_words(device)}.",
        "A smoke test: too short for any figure here to mean anything."
        if plan.quick
        else f"Median of {plan.rounds} rounds, the contestants in turns; of the peak the best.",
        "",
        "| precision | measured peak, TFLOP/s | by products of side |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {rate / 1e12:.3g} | {side} |" for name, (rate, side) in peaks.items()]
    return [*lines, "", "float32 is what the backend makes of it: on a GPU that may be TF32."]


def table(
    name: str, count: int, group: list[Contestant], operations: int, peaks: dict
) -> list[str]:
    """Return the lines of one network at one batch size."""
    lines = [
        "",
        f"### {name}, {count} images a call, {operations / 2e9:.3f} G multiply-adds an image",
        "",
        "| how | precision | images/s | times op by op | share of the peak | first call, s "
        "| difference |",
        "|---|---|---|---|---|---|---|",
    ]
    base = [statistics.median(one.rates) for one in group if one.way == OP_BY_OP]
    for one in group:
        rate = statistics.median(one.rates)
        share = rate * operations / peaks[one.precision][0]
        times = f"{rate / base[0]:.2f}" if base else "-"
        lines.append(
            f"| {one.way} | {one.precision} | {rate:,.0f} | {times} "
            f"| {share:.2%} | {one.first:.1f} | {one.difference:.4f} |"
        )
    return lines


def benchmark(device: str, networks: list[str], plan: Plan) -> bool:
    """Measure and print; return whether every answer agreed."""
    agreed = True
    peaks = {precision: peak(precision, plan) for precision in PRECISIONS}
    print("\n".join(heading(device, peaks, plan)), flush=True)
    for name in networks:
        source = embedded_source(name)
        operations = 2 * multiply_adds(source.build("float32"))
        for count in plan.batch_sizes:
            images = synthetic_images(count, *source.input_shape[:2])
            group = contestants(source, images, device, count == plan.batch_sizes[0])
            measure(group, count, plan)
            print("\n".join(table(name, count, group, operations, peaks)), flush=True)
            for one in group:
                if not one.difference <= AGREEMENT[one.precision]:
                    agreed = False
                    print(f"\n{one.way} in {one.precision} gives other answers.", flush=True)
    return agreed


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch-sizes", nargs="+", type=int, metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one contestant's round")
    parser.add_argument("--quick", action="store_true", help="a smoke test, no figures to keep")
    return parser.parse_args(arguments)


def plan_of(chosen: argparse.Namespace) -> Plan:
    """Return how much to measure."""
    if chosen.quick:
        return Plan(tuple(chosen.batch_sizes or (2,)), 1, 0.0, (256,), quick=True)
    usual, sides = {
        "gpu": ((1, 16, 64, 256), (4096, 8192)),
        "cpu": ((1, 16), (1024, 2048)),
    }[chosen.device]
    batch_sizes = tuple(chosen.batch_sizes or usual)
    return Plan(batch_sizes, max(1, chosen.rounds), chosen.seconds, sides)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    chosen = parse(arguments)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as folder:
        os.environ.setdefault("CNNKIT_CACHE", folder)
        keras = import_keras()
        try:
            choose(RuntimeOptions(device=chosen.device, runtime="xla"))  # refuses a missing GPU
            with keras.device(f"{chosen.device}:0"):
                return 0 if benchmark(chosen.device, chosen.networks, plan_of(chosen)) else 1
        except CnnkitError as error:
            print(f"benchmarks/gpu.py: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
