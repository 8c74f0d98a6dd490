"""Measures `predict` of a list against ``cnnkit classify`` of a folder, and of one image.

    python benchmarks/python_api.py [--data FOLDER] [--files 500] [--rounds 3]

Both have the same model and the same files, in this process; they take turns, and the median of
the rounds counts. What is reported is the ratio: at least 0.9 is wanted.

`predict` of one decoded image is measured against the call of the network that is in it, for a
classifier and a detector as they are loaded by default, and for batches of 4 by processor time:
what a stream pays per image, which decides the default batch size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from classify import repeated

import cnnkit
from cnnkit.bundles import open_model
from cnnkit.classification import classify_folders
from cnnkit.folder_job import Outputs
from cnnkit.images import decode, find_images, prepare
from cnnkit.runtime import RuntimeOptions, predictor

LONE_CALLS = 40
ONE_NETWORK = (
    "efficientnet-lite0",
    "efficientnet-lite3",
    "squeezenet-1.1",
    "nanodet-g",
    "yolov3-tiny",
    "dlib-face",
)


def seconds_of_job(classifier: cnnkit.Classifier, folder: Path, rows: Path) -> float:
    """Return how long the folder job takes that ``cnnkit classify -o FILE`` runs."""
    outputs = Outputs(rows=rows, overwrite=True)
    started = time.perf_counter()
    summary = classify_folders(classifier, find_images([folder]), outputs, options={})
    seconds = time.perf_counter() - started
    assert summary.failed == 0
    return seconds


def seconds_of_predict(classifier: cnnkit.Classifier, files: list[str]) -> float:
    """Return how long one call takes for all files."""
    started = time.perf_counter()
    results = classifier.predict(files)
    seconds = time.perf_counter() - started
    assert all(isinstance(result, cnnkit.Classification) for result in results)
    return seconds


def lone(model: cnnkit.Classifier | cnnkit.Detector, image: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds of `predict` of one image and of its network, by turns."""
    ready = prepare(image, model.spec)[None]
    whole, network = [], []
    for _ in range(LONE_CALLS):
        whole.append(timeit.timeit(lambda: model.predict(image), number=1))
        network.append(timeit.timeit(lambda: model.predictor.predict(ready), number=1))
    found = {"predict_ms": 1000 * statistics.median(whole[1:])}
    found["network_ms"] = 1000 * statistics.median(network[1:])
    return {**found, "ratio": found["predict_ms"] / found["network_ms"]}


def processor_ms(name: str, batch_sizes: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Return a network's processor time per image by batch size, milliseconds, by turns."""
    source = open_model(name).source()
    options = RuntimeOptions(precision="float32")
    compiled = {size: predictor(source, options, batch_size=size) for size in batch_sizes}
    images = np.random.default_rng(0).integers(0, 256, (16, *source.input_shape), np.uint8)
    spent: dict[int, list[float]] = {size: [] for size in batch_sizes}
    for _ in range(rounds):
        for size, one in compiled.items():
            parts = [images[start : start + size] for start in range(0, len(images), size)]
            with ThreadPoolExecutor(one.concurrency) as pool:
                started = time.process_time()
                list(pool.map(one.predict, parts))
                spent[size].append(1000 * (time.process_time() - started) / len(images))
    return {f"batch_{size}": statistics.median(values[1:]) for size, values in spent.items()}


def main() -> None:
    """Measure everything and print it as JSON, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "examples" / "images"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    classifier = cnnkit.Classifier.load()
    job, predict = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeated(chosen.data, Path(scratch) / "images", chosen.files)
        files = sorted(str(path) for path in folder.iterdir())
        classifier.predict(files[:16])  # the first calls are slower
        for _ in range(chosen.rounds):
            job.append(seconds_of_job(classifier, folder, Path(scratch) / "rows.jsonl"))
            predict.append(seconds_of_predict(classifier, files))
        image = decode(Path(files[0]).read_bytes())
    rates = [chosen.files / statistics.median(seconds) for seconds in (job, predict)]
    report("list", {"classify": rates[0], "predict": rates[1], "ratio": rates[1] / rates[0]})
    report("one image, classifier", lone(classifier, image))
    report("one image, detector", lone(cnnkit.Detector.load(), image))
    for name in ONE_NETWORK:
        report(name, processor_ms(name, (1, 4), 1 + 3 * chosen.rounds))


def report(what: str, found: dict[str, float]) -> None:
    """Print some figures."""
    print(json.dumps({"what": what} | {name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
