"""Measures the networks of embedded models alone, without decoding, in one run.

    python benchmarks/detector_networks.py [--images 32] [--rounds 9] [--networks NAME ...]
        [--precisions PRECISION ...]

By default these are the detectors, compared with the first. All run on the same images, already at
the size of their input, by the runtime and precision that ``auto`` chooses, or in each of some
precisions. They take turns; the median of the rounds counts, by the clock and by seconds of all
processors together.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cnnkit.bundles import open_model
from cnnkit.runtime import Predictor, RuntimeOptions, predictor

NETWORKS = ("yolov3-tiny", "nanodet-g")


def taken(network: Predictor, images: np.ndarray) -> tuple[float, float]:
    """Return the seconds that all images take, by the clock and of all processors."""
    clock, processor = time.perf_counter(), time.process_time()
    network.predict(images)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=["auto"], metavar="PRECISION")
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    networks, inputs = {}, {}
    for model, precision in itertools.product(asked.networks, asked.precisions):
        bundle, options = open_model(model), RuntimeOptions(precision=precision)
        compiled = predictor(bundle.source(), options, expected=asked.images)
        name = f"{model}, {compiled.precision}"
        networks[name] = compiled
        size = (asked.images, bundle.card.input.height, bundle.card.input.width, 3)
        inputs[name] = random.integers(0, 256, size, np.uint8)
        taken(networks[name], inputs[name])  # the first call is slower
    rounds = [
        {name: taken(networks[name], inputs[name]) for name in networks}
        for _ in range(asked.rounds)
    ]
    medians = {
        name: [statistics.median(one[name][n] for one in rounds) for n in (0, 1)]
        for name in networks
    }
    usual = next(iter(medians.values()))
    for name, (clock, processor) in medians.items():
        print(
            f"{name}: {asked.images / clock:.1f} images/s, {usual[0] / clock:.2f} times; by "
            f"processor time {usual[1] / processor:.2f} times"
        )


if __name__ == "__main__":
    main()
